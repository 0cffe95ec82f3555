//! What is too large, too deep, no text, or only found by search is refused at once and in words.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a test measures; the crate does not"
)]

use std::{collections::HashMap, time::Instant};

use heart_config::{Code, NoEnvironment, Report, read};
use heart_model::{CONFIGURATION_BYTES_MAX, NodeName};

const HEAD: &str = "[cluster]\nname = \"web\"\n\n[node.ada]\naddresses = [\"10.0.0.1\"]\n";

fn refuse(bytes: &[u8]) -> Report {
    let begin = Instant::now();
    let report = read("heart.toml", bytes, &NoEnvironment).expect_err("it has a mistake");
    let text = report.render_text(false);
    assert!(begin.elapsed().as_secs() < 10, "took {:?}", begin.elapsed());
    assert!(text.len() < 200_000, "{} bytes of report", text.len());
    report
}

fn only(bytes: &[u8]) -> (Code, String) {
    let report = refuse(bytes);
    assert_eq!(report.mistakes().len(), 1, "{}", report.render_text(false));
    (report.mistakes()[0].code, report.render_text(false))
}

#[test]
fn a_huge_file_is_refused_without_a_look_at_it() {
    let begin = Instant::now();
    let (code, text) = only(&vec![b'x'; 100 * 1024 * 1024]);
    assert!(begin.elapsed().as_millis() < 2000, "took {:?}", begin.elapsed());
    assert_eq!(code, Code::TooLarge);
    assert!(text.contains("larger than 4 MiB"), "{text}");
}

#[test]
fn a_file_as_large_as_may_be_is_read() {
    let mut text = HEAD.to_owned() + "# ";
    text.extend(std::iter::repeat_n('x', CONFIGURATION_BYTES_MAX - text.len()));
    assert!(read("heart.toml", text.as_bytes(), &NoEnvironment).is_ok());
}

#[test]
fn bytes_that_are_no_text_are_shown_at_their_place() {
    let (code, text) = only(b"[cluster]\nname = \"w\xe9b\"\n");
    assert_eq!(code, Code::NotText);
    assert!(text.contains("heart.toml:2:10") && text.contains("0xe9"), "{text}");
    assert_eq!(only(b"\xff\xfe[\0c\0]\0").0, Code::NotText);
    assert!(refuse(&[0xff; 1000]).count(heart_config::Severity::Error) == 1);
}

#[test]
fn nesting_ends_before_the_stack_does() {
    let depth = 500_000;
    for deep in [
        format!("{HEAD}x = {}", "[".repeat(depth)),
        format!("{HEAD}x = {}{}", "[".repeat(depth), "]".repeat(depth)),
        format!("{HEAD}x = {}", "{ a = ".repeat(depth)),
        format!("{HEAD}x = {}1{}", "{ a = ".repeat(depth), " }".repeat(depth)),
        format!("{HEAD}{}a = 1", "a.".repeat(depth)),
        format!("{HEAD}[{}a]", "a.".repeat(depth)),
        format!("{HEAD}[[{}a]]", "a.".repeat(depth)),
        format!("{HEAD}x = {}", "[{ a = ".repeat(depth)),
    ] {
        let report = refuse(deep.as_bytes());
        let codes: Vec<Code> = report.mistakes().iter().map(|mistake| mistake.code).collect();
        let expected = |code: &Code| matches!(code, Code::TooDeep | Code::Syntax);
        assert!(codes.iter().any(expected), "{}: {codes:?}", &deep[..80]);
    }
}

#[test]
fn a_closed_deep_list_is_called_too_deep() {
    let report = refuse(format!("{HEAD}\n[resource.x]\na = {}{}", "[".repeat(99), "]".repeat(99)).as_bytes());
    assert!(
        report.mistakes().iter().any(|mistake| mistake.code == Code::TooDeep),
        "{}",
        report.render_text(false)
    );
    assert!(
        !report.mistakes().iter().any(|mistake| mistake.code == Code::Syntax),
        "{}",
        report.render_text(false)
    );
}

#[test]
fn a_file_full_of_mistakes_is_reported_in_time() {
    for line in [
        "x\n",
        "= 1\n",
        "a = 1\n",
        "[x]\n",
        "[[x]]\n",
        "x = [\n",
        "x = \"\n",
        "x = '''\n",
        "\u{7}\n",
        "a.b.c = 1\n",
    ] {
        refuse((HEAD.to_owned() + &line.repeat(100_000)).as_bytes());
    }
    let nodes: String = (0..20_000).map(|n| format!("[node.n{n}]\naddresses = [\"x\"]\nq = 1\n")).collect();
    refuse((HEAD.to_owned() + &nodes).as_bytes());
    let resources: String =
        (0..20_000).map(|n| format!("[resource.r{n}]\nagent = \"ipp\"\nprefers = \"x\"\n")).collect();
    refuse((HEAD.to_owned() + &resources).as_bytes());
    refuse((HEAD.to_owned() + &"x".repeat(1_000_000)).as_bytes());
}

#[test]
fn a_thousand_resources_are_read_at_once() {
    let mut text = HEAD.to_owned();
    for number in 0..1000 {
        let (high, low) = (number / 200, number % 200 + 2);
        text += &format!("\n[resource.ip{number}]\nagent = \"ip\"\naddress = \"10.0.{high}.{low}/16\"\n");
        text += &format!("\n[group.g{number}]\nmembers = [\"ip{number}\"]\n");
    }
    let begin = Instant::now();
    let checked = read("heart.toml", text.as_bytes(), &NoEnvironment)
        .unwrap_or_else(|report| panic!("{}", report.render_text(false)));
    assert_eq!(checked.spec.resources.len(), 1000);
    assert!(begin.elapsed().as_secs() < 2, "took {:?}", begin.elapsed());
}

/// So many resources, each with what `says` says for its number.
fn resources(count: usize, says: impl Fn(usize) -> String) -> String {
    let one =
        |number| format!("[resource.r{number}]\nagent = \"process\"\ncommand = \"/x\"\n{}\n", says(number));
    (0..count).fold(HEAD.to_owned(), |text, number| text + &one(number))
}

#[test]
fn wishes_without_end_are_compared_in_time() {
    let others = |from: usize, count: usize| {
        let names: Vec<String> = (from..from + count).map(|other| format!("\"r{other}\"")).collect();
        names.join(", ")
    };
    for text in [
        resources(9000, |number| format!("after = \"r{}\"\nwith = \"r{}\"", number + 1, number + 1)),
        resources(9000, |number| format!("after = \"r{}\"", (number + 1) % 9000)),
        resources(1500, |number| format!("with = [{}]", others(number + 1, 250))),
        resources(1500, |number| {
            format!("never = [{}]\nwith = \"r{}\"", others(number + 1, 250), number + 1)
        }),
        resources(1500, |_| format!("after = [{}]", others(0, 250))),
        resources(1500, |number| format!("avoids = [{}]", others(number + 10_000, 250))),
    ] {
        refuse(text.as_bytes());
    }
    let times: String = (0..256)
        .map(|number| {
            let spans: Vec<String> = (0..64).map(|at| format!("\"00:{at:02}-00:{at:02}\"")).collect();
            let dates = "from = \"2001-01-01\"\nuntil = \"2040-01-01\"\ndays = 29\nmonths = 2\nweekdays = 1";
            format!("[time.t{number}]\nhours = [{}]\n{dates}\n", spans.join(", "))
        })
        .collect();
    refuse((HEAD.to_owned() + &times + "[node.ada]").as_bytes());
}

#[test]
fn two_names_with_one_number_are_refused() {
    let mut seen = HashMap::new();
    let (one, other) = (0..1_000_000)
        .find_map(|number| {
            let name = format!("n{number}");
            let id = NodeName::new(&name).unwrap().id();
            seen.insert(id, name.clone()).map(|other| (other, name))
        })
        .expect("a million names share 32 bits");
    let text = format!(
        "{HEAD}[node.{one}]\naddresses = [\"10.0.0.2\"]\n[node.{other}]\naddresses = [\"10.0.0.3\"]\n"
    );
    let (code, text) = only(text.as_bytes());
    assert_eq!(code, Code::NumberTaken);
    assert!(text.contains(&one) && text.contains(&other), "{text}");
}
