#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::{InvalidPointer, JsonPointer};

#[test]
fn the_pointers_of_rfc_6901_find_what_they_point_at() {
    let document: Value = serde_json::from_str(
        r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#,
    )
    .unwrap();
    let rows = [
        ("/foo", json!(["bar", "baz"])),
        ("/foo/0", json!("bar")),
        ("/", json!(0)),
        ("/a~1b", json!(1)),
        ("/c%d", json!(2)),
        ("/e^f", json!(3)),
        ("/g|h", json!(4)),
        ("/i\\j", json!(5)),
        ("/k\"l", json!(6)),
        ("/ ", json!(7)),
        ("/m~0n", json!(8)),
        ("", document.clone()),
    ];
    for (pointer, found) in rows {
        assert_eq!(JsonPointer::new(pointer).unwrap().look_up(&document), Some(&found), "{pointer}");
    }
    for nothing in ["/bar", "/foo/2", "/foo/-", "/foo/01", "/foo/0/x", "/m~01n"] {
        assert_eq!(JsonPointer::new(nothing).unwrap().look_up(&document), None, "{nothing}");
    }
}

#[test]
fn what_is_no_pointer_is_refused() {
    for text in ["a", "a/b", "#/a", " /a", "/a~", "/~2", "/~~0", "/a/~/b", "~0"] {
        assert_eq!(JsonPointer::new(text), Err(InvalidPointer), "{text}");
    }
    for text in ["", "/", "//", "/~0~1", "/é/~01"] {
        assert_eq!(JsonPointer::new(text).unwrap().as_str(), text);
    }
}

#[test]
#[should_panic(expected = "a JSON pointer")]
fn a_literal_that_is_no_pointer_panics() {
    let _ = JsonPointer::from_static("nonce");
}

#[cfg(feature = "canonical")]
#[test]
fn a_pointer_names_the_fields_at_the_top() {
    let names = |pointer: &str, name| JsonPointer::new(pointer).unwrap().names(name);
    assert!(names("/a~1b~01", Some("a/b~1")));
    assert!(names("", Some("anything")) && names("", None));
    assert!(names("/", Some("")) && !names("/", None));
    assert!(!names("/a/0", Some("a")) && !names("/a", Some("A")) && !names("/a", None));
}
