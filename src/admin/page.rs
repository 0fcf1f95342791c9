//! The page: one document with its styles and scripts inside.

use std::sync::LazyLock;

use axum::response::Html;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use sha2::{Digest, Sha256};

static PAGE: LazyLock<Page> = LazyLock::new(Page::assemble);

const HTML: &str = include_str!("page/page.html");
const STYLES: &str = include_str!("page/page.css");
/// Joined in this order to one script.
const SCRIPTS: [&str; 6] = [
    include_str!("page/words.js"),
    include_str!("page/server.js"),
    include_str!("page/list.js"),
    include_str!("page/record.js"),
    include_str!("page/change.js"),
    include_str!("page/page.js"),
];

struct Page {
    html: String,
    policy: HeaderValue,
}

pub(super) async fn page() -> Html<&'static str> {
    Html(&PAGE.html)
}

/// The policy of the page. It is on every response, because it forbids all that JSON does not need.
pub(super) fn policy() -> HeaderValue {
    PAGE.policy.clone()
}

impl Page {
    fn assemble() -> Self {
        let (styles, script) = (lines(STYLES), lines(&SCRIPTS.join("\n")));
        let html = lines(HTML).replace("/* styles */", &styles).replace("/* script */", &script);
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; \
             connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'",
            digest(&script),
            digest(&styles)
        );
        // Base64 and the text around it are visible ASCII.
        let strictest = || HeaderValue::from_static("default-src 'none'");
        Self { html, policy: policy.parse().unwrap_or_else(|_| strictest()) }
    }
}

/// A browser reads each end of a line as one character, and digests what it has read.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

fn digest(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_element_early_or_makes_markup() {
        assert!(!STYLES.contains("</"));
        for script in SCRIPTS {
            for text in ["</script", "<!--", "innerHTML", "outerHTML", "insertAdjacentHTML"] {
                assert!(!script.contains(text), "a script contains {text}");
            }
        }
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        for text in ["http://", "https://", "//cdn", "@import", "url(", "src="] {
            assert!(!PAGE.html.contains(text), "the page contains {text}");
        }
    }

    #[test]
    fn the_document_has_one_style_and_one_script() {
        for element in ["<style>", "<script type=\"module\">"] {
            assert_eq!(PAGE.html.matches(element).count(), 1, "{element}");
        }
        assert!(!PAGE.html.contains("/* styles */") && !PAGE.html.contains("/* script */"));
        assert!(!HTML.contains(" style=") && !HTML.contains(" onclick="));
    }
}
