//! Requests of 1 MiB in the forms that cost most: many small pieces, deep ones, long ones, and as
//! many as are still read.

use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use http_body::{Body, Frame, SizeHint};
use tower_idempotency::{CanonicalBody, IdempotencyLayer, JsonPointer, MemoryStore};

/// The default limit of the layer.
pub(crate) const LIMIT: usize = 1 << 20;
/// One less than the pieces that are read.
const PIECES: usize = 9_999;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

pub(crate) struct Form {
    pub(crate) name: String,
    uri: String,
    content_type: String,
    body: Vec<u8>,
    frame: usize,
}

impl Form {
    fn new(name: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        assert!(body.len() <= LIMIT, "{name} is over the limit");
        Self {
            name: name.into(),
            uri: "/".into(),
            content_type: content_type.into(),
            body,
            frame: LIMIT,
        }
    }

    pub(crate) fn request(&self) -> Request<Frames> {
        let request = Request::post(&self.uri).header("x-idempotency-key", "order-1001");
        let body = Frames { left: Bytes::from(self.body.clone()), size: self.frame };
        request.header(CONTENT_TYPE, &self.content_type).body(body).unwrap()
    }
}

/// A body in frames of one size.
pub(crate) struct Frames {
    left: Bytes,
    size: usize,
}

impl From<Bytes> for Frames {
    fn from(left: Bytes) -> Self {
        Self { left, size: LIMIT }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let size = self.size.min(self.left.len());
        Poll::Ready((size > 0).then(|| Ok(Frame::data(self.left.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    /// What a server knows of a body that is sent in chunks: nothing.
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

type Layer = IdempotencyLayer<MemoryStore>;
type MakeLayer = fn() -> Layer;

/// The settings that make the layer look into a body.
pub(crate) fn layers() -> Vec<(&'static str, MakeLayer)> {
    fn plain() -> Layer {
        IdempotencyLayer::new(MemoryStore::new())
    }
    fn pointers(count: usize) -> impl Iterator<Item = JsonPointer> {
        (0..count).map(|index| JsonPointer::new(&format!("/name~1{index}")).unwrap())
    }
    vec![
        ("raw bytes", plain),
        ("canonical", || plain().fingerprint(CanonicalBody::any())),
        ("100 ignored", || {
            plain().fingerprint(pointers(100).fold(CanonicalBody::any(), CanonicalBody::ignore))
        }),
        ("only 100", || plain().fingerprint(CanonicalBody::any().only(pointers(100)))),
        ("key in body", || plain().key_in_body(JsonPointer::new(&"/a".repeat(120)).unwrap())),
        ("canonical, key in body", || {
            plain()
                .fingerprint(CanonicalBody::any())
                .key_in_body(JsonPointer::from_static("/idempotency_key"))
        }),
    ]
}

pub(crate) fn forms() -> Vec<Form> {
    [raw(), small_json(), most_json(), forms_of_fields(), multipart()]
        .into_iter()
        .flatten()
        .collect()
}

fn raw() -> Vec<Form> {
    let parameters = (0..1300).map(|index| format!(";a{index}")).collect::<Vec<_>>().concat();
    let mut bytes = Form::new("one-byte frames", "text/plain", vec![b'a'; LIMIT]);
    bytes.frame = 1;
    let mut target = Form::new("a query of 60 KiB", JSON, list("0", LIMIT));
    target.uri = format!("/?{}", "a".repeat(60 << 10));
    vec![
        Form::new("text", "text/plain", vec![b'a'; LIMIT]),
        bytes,
        target,
        Form::new(
            "a content type of 8 KiB",
            &format!("{JSON}{parameters}"),
            list("{\"a\":1}", 100_000),
        ),
    ]
}

/// As many as the limit allows.
fn small_json() -> Vec<Form> {
    let json = |name: &str, body: String| Form::new(name, JSON, body);
    let in_list = |unit: &str| json(&format!("[{unit},…]"), list(unit, LIMIT));
    let mut invalid = list("0", LIMIT - 10).into_bytes();
    invalid.extend(b" \xff");
    let mut late = format!("\"{}", "a".repeat(LIMIT - 10)).into_bytes();
    late.extend(b"\xff\"");
    let units =
        ["0", "[]", "{}", "\"\"", "[0]", "[[0]]", "[[[0]]]", "1.5", "1e-300", "{\"\":0}", "true"];
    let mut forms: Vec<_> = units.into_iter().map(in_list).collect();
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let escaped = |escape: &str| format!("\"{}\"", escape.repeat((LIMIT - 2) / escape.len()));
    forms.extend([
        json("{\"N\":0,…}", object(LIMIT, usize::MAX, |index| format!("\"{index}\":0"))),
        json("{\"a\":0,\"a\":0,…}", object(LIMIT, usize::MAX, |_| "\"a\":0".into())),
        json(
            "{\"\\u0061N\":0,…}",
            object(LIMIT, usize::MAX, |index| format!("\"\\u0061{index}\":0")),
        ),
        json("deep once", deep(LIMIT / 2)),
        json("127 deep, often", list(&deep(126), LIMIT)),
        json("objects 120 deep", nested(120)),
        json("a string of \\u0000", escaped("\\u0000")),
        json("a string of \\n", escaped("\\n")),
        json("a plain string", escaped("a")),
        json("a number of 1 MiB", "9".repeat(LIMIT)),
        json("a fraction of 1 MiB", format!("0.{}1", "0".repeat(LIMIT - 3))),
        json("a byte order mark", format!("\u{feff}{}", list("0", LIMIT - 3))),
        json("white space", format!("[{}]", " ".repeat(LIMIT - 2))),
        Form::new("not UTF-8 behind the end", JSON, invalid),
        Form::new("not UTF-8 in a string", JSON, late),
    ]);
    forms
}

/// As many as are read, filled up to the limit.
fn most_json() -> Vec<Form> {
    let each = LIMIT / PIECES;
    let in_list = |unit: &str, values: usize| {
        let units: Vec<_> = (0..PIECES / values).map(|_| unit).collect();
        Form::new(
            &format!("as many as are read: [{unit},…]"),
            JSON,
            format!("[{}]", units.join(",")),
        )
    };
    let members = |name: &str, member: &dyn Fn(usize) -> String| {
        // The order of the members says nothing of that of the names.
        let member = |index: usize| member(index * 7919 % PIECES);
        Form::new(&format!("as many as are read: {name}"), JSON, object(LIMIT, PIECES - 1, member))
    };
    vec![
        in_list("0", 1),
        in_list("[[0]]", 3),
        in_list("{\"\":0}", 2),
        in_list("{\"\\u0061\":\"\\u0061\"}", 2),
        in_list("1.2345678901234567e-300", 1),
        in_list("1.00000000000000000000000000000000e300", 1),
        // Beside the middle of two doubles.
        in_list("1.0000000000018358492e300", 1),
        in_list("1.085367852217395200000e-300", 1),
        in_list(&format!("\"{}\"", "\\n".repeat(each / 2 - 2)), 1),
        in_list(&format!("\"{}\"", "\\u00e9".repeat(each / 6 - 1)), 1),
        members("short names", &|index| format!("\"{index}\":0")),
        members("long names", &|index| format!("\"{:a>80}{index:06}\":0", "")),
        members("escaped names", &|index| format!("\"{}{index:06}\":0", "\\u0061".repeat(14))),
        members("names beyond U+FFFF", &|index| {
            let last = if index.is_multiple_of(2) { '\u{ffee}' } else { '\u{1f600}' };
            format!("\"{}{last}{index:06}\":0", "😀".repeat(20))
        }),
        members("names and a number", &|index| format!("\"name/{index}\":{index}.1234567890123")),
    ]
}

fn forms_of_fields() -> Vec<Form> {
    let most = |name: &str, field: &dyn Fn(usize) -> String| {
        let fields: Vec<_> = (0..PIECES).map(|index| field(index * 7919 % PIECES)).collect();
        Form::new(&format!("form, as many as are read: {name}"), FORM, fields.join("&"))
    };
    let repeated = |name: &str, unit: &str| Form::new(name, FORM, unit.repeat(LIMIT / unit.len()));
    vec![
        repeated("form a&a&…", "a&"),
        repeated("form &&…", "&"),
        repeated("form %41%41…", "%41"),
        repeated("form +%41…", "+%41"),
        repeated("form %41=%41&…", "%41=%41&"),
        repeated("form a[]=&…", "a[]=&"),
        repeated("form %ff…", "%ff"),
        most("a", &|_| "a".into()),
        most("long names", &|index| format!("{:a>80}{index:06}=", "")),
        most("escapes", &|index| format!("{}{index:06}=%41%41%41", "%41".repeat(26))),
        most("a[]", &|index| format!("name[]{index}=")),
    ]
}

fn multipart() -> Vec<Form> {
    let long = "-".repeat(70);
    let with = |boundary: &str| format!("multipart/form-data; boundary={boundary}");
    let parts = |name: &str, boundary: &str, count: usize, part: &str| {
        let end = format!("--{boundary}--\r\n");
        let part = format!("--{boundary}\r\n{part}\r\n");
        let count = count.min((LIMIT - end.len()) / part.len());
        Form::new(name, &with(boundary), part.repeat(count) + &end)
    };
    let headers = (0..31).map(|index| format!("h{index}:\r\n")).collect::<Vec<_>>().concat();
    let named = "content-disposition:form-data;name=a\r\n\r\n";
    let long_head = |bytes: usize| {
        format!("content-disposition:form-data;{}\r\n\r\n", "name".repeat((bytes - 80) / 4))
    };
    let begun = format!("--{}\r\n{named}{}", &long, format!("\r\n--{}", &long[1..]).repeat(14_000));
    vec![
        parts("multipart of tiny parts", "x", usize::MAX, "\r\n"),
        parts("multipart of tiny named parts", "x", usize::MAX, named),
        parts("multipart, as many as are read", "x", 999, &format!("\r\n{}", "a".repeat(1000))),
        parts("multipart, 32 headers a part", "x", usize::MAX, &format!("{headers}\r\n")),
        parts("multipart, as many as are read of 32 headers", "x", 240, &format!("{headers}\r\n")),
        parts("multipart, a long boundary", &long, usize::MAX, named),
        parts("multipart, one part", "x", 1, &format!("{named}{}", "a".repeat(LIMIT - 100))),
        parts("multipart, one long head", "x", 1, &long_head(LIMIT - 100)),
        parts("multipart, heads of 8 KiB", "x", usize::MAX, &long_head(8 << 10)),
        Form::new(
            "multipart, boundaries that almost begin",
            &with(&long),
            begun + "\r\n--" + &long + "--",
        ),
        Form::new("multipart, dashes", &with(&long), "-".repeat(LIMIT)),
        Form::new("multipart, white space", &with("x"), format!("--x{}", " ".repeat(LIMIT - 3))),
    ]
}

/// A list of as many units as fit.
fn list(unit: &str, limit: usize) -> String {
    let count = (limit - 2 - unit.len()) / (unit.len() + 1);
    format!("[{}{unit}]", format!("{unit},").repeat(count))
}

/// An object of so many members, or of as many as fit.
fn object(limit: usize, most: usize, member: impl Fn(usize) -> String) -> String {
    let mut text = String::from("{");
    for index in 0..most {
        let member = member(index);
        if text.len() + member.len() + 2 > limit {
            break;
        }
        write!(text, "{}{member}", if index > 0 { "," } else { "" }).unwrap();
    }
    text + "}"
}

/// Objects in one another, each with a long member beside the next one.
fn nested(levels: usize) -> String {
    let beside = "b".repeat((LIMIT - levels * 20) / levels);
    let open = format!("{{\"c\":\"{beside}\",\"a\":");
    format!("{}0{}", open.repeat(levels), "}".repeat(levels))
}
