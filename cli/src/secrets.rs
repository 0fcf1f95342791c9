//! Secrets, which come from files and variables and never from arguments.

use std::fs;
use std::path::Path;

use tower_idempotency::EncryptionKeys;

use crate::failure::Failure;

const SECRET: &str = "IDEMPOTENCY_SECRET";
const ENCRYPTION_KEY: &str = "IDEMPOTENCY_ENCRYPTION_KEY";

/// The secret of the service, from the file or the variable.
pub(crate) fn secret(file: Option<&Path>) -> Result<Option<[u8; 32]>, Failure> {
    match (file, variable(SECRET)?) {
        (Some(file), _) => read(file).map(Some),
        (None, Some(digits)) => of_variable(SECRET, &digits).map(Some),
        (None, None) => Ok(None),
    }
}

/// The keys that encrypt responses, from the files or the variable. The first one writes.
pub(crate) fn encryption_keys(files: &[String]) -> Result<Option<EncryptionKeys>, Failure> {
    let mut keys = Vec::new();
    for file in files {
        let (number, file) = numbered(file);
        keys.push((number, read(Path::new(file))?));
    }
    if let (true, Some(list)) = (files.is_empty(), variable(ENCRYPTION_KEY)?) {
        for key in list.split(',') {
            let (number, digits) = numbered(key.trim());
            keys.push((number, of_variable(ENCRYPTION_KEY, digits)?));
        }
    }
    let mut keys = keys.into_iter();
    let Some((number, key)) = keys.next() else { return Ok(None) };
    keys.try_fold(EncryptionKeys::new(number, key), |ring, (number, key)| ring.reading(number, key))
        .map(Some)
        .map_err(|error| {
            Failure::usage(format!("{error}: put the number of each key before it, as in 2:FILE"))
        })
}

/// The number of a key, and the rest.
fn numbered(text: &str) -> (u32, &str) {
    text.split_once(':')
        .and_then(|(number, rest)| Some((number.parse().ok()?, rest)))
        .unwrap_or((1, text))
}

fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("the variable {name} is not text")))
        }
    }
}

fn of_variable(name: &str, digits: &str) -> Result<[u8; 32], Failure> {
    key(digits.as_bytes())
        .ok_or_else(|| Failure::usage(format!("the variable {name} is not 64 hexadecimal digits")))
}

fn read(file: &Path) -> Result<[u8; 32], Failure> {
    let contents = fs::read(file).map_err(|error| Failure::file(file, &error))?;
    let whole = <[u8; 32]>::try_from(contents.as_slice()).ok();
    key(&contents).or(whole).ok_or_else(|| {
        Failure::usage(format!(
            "{}: the file contains neither 64 hexadecimal digits nor 32 bytes",
            file.display()
        ))
    })
}

fn key(digits: &[u8]) -> Option<[u8; 32]> {
    bytes(std::str::from_utf8(digits).ok()?.trim())?.try_into().ok()
}

/// The bytes of hexadecimal digits.
pub(crate) fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit =
        |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_hexadecimal_digits_or_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, format!("{}\n", "0a".repeat(32))).unwrap();
        assert_eq!(read(&file).unwrap(), [10; 32]);
        fs::write(&file, [200; 32]).unwrap();
        assert_eq!(read(&file).unwrap(), [200; 32]);
        for wrong in ["", "0a", &"0a".repeat(33), &"zz".repeat(32)] {
            fs::write(&file, wrong).unwrap();
            let failure = read(&file).unwrap_err();
            assert_eq!(failure.code, 2);
            assert!(failure.message.unwrap().ends_with("nor 32 bytes"));
        }
    }

    #[test]
    fn the_number_of_a_key_is_one_unless_it_is_given() {
        assert_eq!(numbered("key.hex"), (1, "key.hex"));
        assert_eq!(numbered("2:key.hex"), (2, "key.hex"));
        assert_eq!(numbered("C:key.hex"), (1, "C:key.hex"));
    }
}
