use super::authority::{Authority, Signer};
use super::program::Folder;

/// What `--check` says of a file with this scope, and with these lines before it.
fn check(folder: &Folder, lines: &str, scope: &str) -> String {
    folder.check(&format!(
        "listen = \"127.0.0.1:0\"\nupstream = \"http://127.0.0.1:9\"\nstore = \"memory\"\n{lines}\n\
         [[route]]\npath = \"/\"\nscope = {scope}\n"
    ))
}

#[test]
fn a_scope_that_cannot_be_is_told_with_its_position() {
    let folder = Folder::new();
    folder.write("jwks.json", &Signer::new("1").set());
    folder.write("garbage.json", "garbage");
    for (lines, scope, expected) in [
        ("", "{ client_certificate = true }", "toml:7: `client_certificate` needs the"),
        ("", "{ client_certificate = false }", "toml:7: "),
        ("", r#"{ header = "a", jwt_claim = "sub" }"#, "toml:7: `jwt_claim` needs the keys"),
        (
            "",
            r#"{ header = "a", jwt_claim = "sub", jwks = "none.json" }"#,
            "none.json: No such file",
        ),
        (
            "",
            r#"{ header = "a", jwt_claim = "sub", jwks = "garbage.json" }"#,
            "garbage.json: it is not a JSON Web Key Set",
        ),
        (
            "jwt = { jwks = \"ftp://a/b\" }",
            r#"{ header = "a", jwt_claim = "sub" }"#,
            "toml:7: `jwks` is the path of a file, or https",
        ),
        (
            "",
            r#"{ header = "a", jwt_claim = "sub", unverified_jwt_claim = "sub" }"#,
            "toml:7: a scope has `jwt_claim` or",
        ),
        ("", r#"{ header = "a", issuer = "b" }"#, "toml:7: `jwks`, `issuer` and `audience` say"),
        (
            "",
            r#"{ header = "a", unverified_jwt_claim = "sub", issuer = "b" }"#,
            "toml:7: `unverified_jwt_claim` verifies nothing",
        ),
        (
            "jwt = { jwks = \"jwks.json\" }",
            r#"{ header = "a", jwt_claim = "" }"#,
            "toml:7: the name",
        ),
        ("jwt = { jwk = \"jwks.json\" }", r#"{ header = "a" }"#, "toml:4: "),
    ] {
        let said = check(&folder, lines, scope);
        assert!(said.contains(expected), "{scope}: {said}");
    }
}

#[test]
fn a_scope_that_can_be_is_checked_without_a_server() {
    let folder = Folder::new();
    folder.write("jwks.json", &Signer::new("1").set());
    for (lines, scope) in [
        ("", r#"{ header = "a", unverified_jwt_claim = "sub" }"#),
        ("", r#"{ header = "a", jwt_claim = "sub", jwks = "jwks.json", issuer = ["a", "b"] }"#),
        ("jwt = { jwks = \"http://127.0.0.1:9/\" }", r#"{ header = "a", jwt_claim = "sub" }"#),
    ] {
        let said = check(&folder, lines, scope);
        assert!(said.contains("nothing wrong"), "{scope}: {said}");
    }
}

#[test]
fn tls_that_cannot_be_is_told_with_its_position() {
    let (folder, authority) = (Folder::new(), Authority::new("ca"));
    let (server, other) = (authority.server(), authority.server());
    folder.write("server.pem", &server.certificate);
    folder.write("server.key", &server.key);
    folder.write("other.key", &other.key);
    folder.write("garbage.pem", "garbage");
    for (lines, expected) in [
        ("{ certificate = \"none.pem\", key = \"server.key\" }", "none.pem: "),
        ("{ certificate = \"server.pem\", key = \"none.key\" }", "none.key: "),
        ("{ certificate = \"server.pem\", key = \"garbage.pem\" }", "garbage.pem: "),
        ("{ certificate = \"server.pem\", key = \"other.key\" }", "other.key: "),
        (
            "{ certificate = \"server.pem\", key = \"server.key\", client_ca = \"garbage.pem\" }",
            "garbage.pem: the file contains no certificate",
        ),
        (
            "{ certificate = \"server.pem\", key = \"server.key\", require_client_certificate = true }",
            "`require_client_certificate` needs `client_ca`",
        ),
        ("{ certificate = \"server.pem\" }", "missing field `key`"),
    ] {
        let said = check(&folder, &format!("tls = {lines}"), "\"everyone\"");
        assert!(said.contains("gateway.toml:4: ") && said.contains(expected), "{lines}: {said}");
    }
}
