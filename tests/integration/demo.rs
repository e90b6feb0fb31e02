//! `mooring demo` as a person runs it: a process of its own, on an empty directory.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

/// It walks one flow to its end, stays up, and stops when asked, leaving nothing running.
#[test]
fn the_demo_walks_one_flow_and_stays_up_until_it_is_told_to_stop() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("demo-{}", std::process::id()));
    let mut demo = Command::new(env!("CARGO_BIN_EXE_mooring"))
        .args(["demo", "--rp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"])
        .env("MOORING_DATA_DIR", &directory)
        .env("MOORING_LISTEN", "127.0.0.1:0")
        .env("MOORING_METRICS__LISTEN", "off")
        .env_remove("DATABASE_URL")
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut told = Vec::new();
    for line in BufReader::new(demo.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let ready = line.starts_with("open ");
        told.push(line);
        if ready {
            break;
        }
    }
    let told = told.join("\n");
    for word in ["visitor", "sid", "introspect", "invalid_grant", "open http://127.0.0.1:"] {
        assert!(told.contains(word), "the walk does not speak of {word}:\n{told}");
    }
    let told_to_stop = Command::new("kill").args(["-TERM", &demo.id().to_string()]).status().unwrap();
    assert!(told_to_stop.success());
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let status = loop {
        if let Some(status) = demo.try_wait().unwrap() {
            break status;
        }
        if std::time::Instant::now() > deadline {
            demo.kill().unwrap();
            panic!("the demo did not stop within 30 s");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(status.success(), "{status}");
    for entry in std::fs::read_dir(directory.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains(&format!("demo-{}", std::process::id())) {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
}
