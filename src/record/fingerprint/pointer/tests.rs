#![allow(clippy::unwrap_used)]

use super::{InvalidPointer, JsonPointer};

#[test]
fn a_text_that_is_not_a_pointer_is_rejected() {
    for text in ["a", "a/b", "#/a", " /a", "/a~", "/~2", "/~~0", "/a/~/b", "~0"] {
        assert_eq!(JsonPointer::new(text), Err(InvalidPointer), "{text}");
    }
    for text in ["", "/", "//", "/~0~1", "/é/~01"] {
        assert_eq!(JsonPointer::new(text).unwrap().as_str(), text);
    }
}

#[test]
#[should_panic(expected = "a JSON pointer")]
fn a_literal_that_is_not_a_pointer_panics() {
    let _ = JsonPointer::from_static("nonce");
}

#[cfg(feature = "canonical")]
#[test]
fn a_pointer_names_the_fields_at_the_top() {
    let names = |pointer: &str, name| {
        super::Names::of(&[JsonPointer::new(pointer).unwrap()].into()).have(name)
    };
    assert!(names("/a~1b~01", Some("a/b~1")));
    assert!(names("", Some("anything")) && names("", None));
    assert!(names("/", Some("")) && !names("/", None));
    assert!(!names("/a/0", Some("a")) && !names("/a", Some("A")) && !names("/a", None));
}
