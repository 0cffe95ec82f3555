fn main() {
    let mut n = std::collections::BTreeMap::<String, usize>::new();
    for f in std::env::args().skip(1) {
        let b = std::fs::read(&f).unwrap();
        match heart_config::cib::read(&f, &b) {
            Ok(i) => for x in i.report { println!("{f}:{x}"); *n.entry(x.message).or_default() += 1; },
            Err(e) => println!("ERR {e:?}"),
        }
    }
    for (m, c) in n { println!("{c:6} {m}"); }
}
