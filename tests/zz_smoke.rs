//! smoke
use readmostly::SyncMap;
#[test]
fn grow() {
    let m = SyncMap::new();
    for n in 0..200_000u64 {
        m.insert(n, n.to_string());
        if n % 1000 == 0 {
            for k in 0..=n {
                if k % 97 == 0 {
                    assert_eq!(m.get(&k).unwrap().value(), &k.to_string());
                }
            }
        }
    }
    println!("{}", m.stats());
    for n in 0..200_000u64 {
        assert_eq!(*m.remove(&n).unwrap(), n.to_string());
    }
    println!("{} len {}", m.stats(), m.len());
    for n in 0..100u64 {
        m.insert(n, "x".into());
        m.insert(n, "y".into());
        m.insert(n, "y".into());
    }
    m.clear();
    m.flush();
    println!("{} len {}", m.stats(), m.len());
}
#[test]
fn threads() {
    let m = SyncMap::new();
    std::thread::scope(|s| {
        for t in 0..4u64 {
            let m = &m;
            s.spawn(move || {
                let mut x = t + 1;
                for i in 0..300_000u64 {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    let k = x % 5000;
                    match x >> 60 {
                        0..=3 => {
                            m.insert(k, format!("{k}:{i}"));
                        }
                        4..=6 => {
                            m.remove(&k);
                        }
                        7 if i % 1000 == 0 => {
                            m.range(|k, v| {
                                assert!(v.starts_with(&format!("{k}:")));
                                true
                            });
                        }
                        8 if i % 5000 == 0 => m.clear(),
                        _ => {
                            if let Some(v) = m.get(&k) {
                                assert!(v.starts_with(&format!("{k}:")));
                            }
                        }
                    }
                }
            });
        }
    });
    let mut n = 0;
    m.range(|_, _| {
        n += 1;
        true
    });
    println!("{} len {} {n}", m.stats(), m.len());
    assert_eq!(n, m.len());
}
