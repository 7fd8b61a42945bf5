//! The units for systemd: systemd's own tools judge them, and what they say is what the program does.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use toml::Table;

use super::text;
use crate::support::{
    program::{Site, run},
    rawup::Upstream,
    setup::Setup,
};

/// The units as systemd will find them, with a program where they say that it is.
fn installed() -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let program = folder.path().join("latchgate");
    fs::write(&program, "").expect("a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("one that can be run");
    for unit in ["latchgate.service", "latchgate.socket"] {
        let said = text(&format!("systemd/{unit}"));
        let said = said.replace("/usr/local/bin/latchgate", &program.display().to_string());
        fs::write(folder.path().join(unit), said).expect("a unit");
    }
    folder
}

fn analyze(arguments: &[&str], unit: &Path) -> (Output, String) {
    let done = Command::new("systemd-analyze").args(arguments).arg(unit).output();
    let done = done.expect("systemd-analyze: run `bash tests/run`");
    let said = [done.stdout.clone(), done.stderr.clone()].concat();
    (done, String::from_utf8_lossy(&said).into_owned())
}

/// systemd has nothing to say against the units, and little against what the service may do: 1.4 of 10.
#[test]
fn systemd_passes_the_units() {
    let folder = installed();
    for unit in ["latchgate.service", "latchgate.socket"] {
        let (done, said) = analyze(&["verify"], &folder.path().join(unit));
        // Units of the machine itself may be wrong: not ours to judge.
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("latchgate")).collect();
        assert!(done.status.success() && ours.is_empty(), "{unit}: {said}");
    }
    let service = folder.path().join("latchgate.service");
    let (done, said) = analyze(&["security", "--offline=true", "--threshold=15"], &service);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("Overall exposure level"), "{said}");
}

/// `name = values` of a unit.
fn settings(unit: &str) -> BTreeMap<String, Vec<String>> {
    let mut settings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text(unit).lines().filter(|line| !line.starts_with(['#', '['])) {
        let Some((name, value)) = line.split_once('=') else { continue };
        settings.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    settings
}

/// Times, descriptors, addresses and paths of the units fit the configuration that is shipped, and the command line.
#[test]
fn the_units_fit_the_program() {
    let service = settings("systemd/latchgate.service");
    let one = |name: &str| service[name].concat();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/latchgate.toml");
    let shipped: Table = fs::read_to_string(path).expect("the configuration").parse().expect("TOML");

    let seconds = |text: &str| text.trim_end_matches('s').parse().map(Duration::from_secs).expect("seconds");
    let drain = seconds(shipped["limits"]["drain_timeout"].as_str().expect("a time"));
    assert!(seconds(&one("TimeoutStopSec")) > drain + Duration::from_secs(5));
    let connections = shipped["limits"]["max_connections"].as_integer().expect("a number");
    assert!(one("LimitNOFILE").parse::<i64>().expect("a number") > 2 * connections + 64);

    let socket = settings("systemd/latchgate.socket");
    let listen =
        ["gateway", "admin", "ops"].map(|name| shipped["listen"][name].as_str().expect("an address"));
    assert_eq!(socket["ListenStream"], listen);

    let start = one("ExecStart");
    let words: Vec<&str> = start.split(' ').collect();
    assert_eq!(words[0], "/usr/local/bin/latchgate");
    let help = run([words[1], "--help"], "");
    for flag in words.iter().filter(|word| word.starts_with("--")) {
        assert!(help.stdout.contains(flag), "{flag}");
    }
    assert!(words.contains(&format!("/etc/{}/latchgate.toml", one("ConfigurationDirectory")).as_str()));
    assert_eq!(
        one("LoadCredential"),
        format!("secret.key:/etc/{}/secret.key", one("ConfigurationDirectory"))
    );
    assert_eq!(service["User"], service["StateDirectory"]);
    let user = format!("u {} - \"Latchgate\" /var/lib/{}", one("User"), one("StateDirectory"));
    assert!(text("systemd/latchgate.sysusers").lines().any(|line| line == user), "{user}");
    for name in ["MemoryDenyWriteExecute", "NoNewPrivileges", "PrivateUsers", "ProtectHome"] {
        assert_eq!(one(name), "yes", "{name}");
    }
    assert_eq!(one("CapabilityBoundingSet"), "");
}

/// The secret comes from where the service's environment says, and the configuration's own path is not needed.
#[test]
fn the_secret_is_a_credential() {
    let service = settings("systemd/latchgate.service");
    let (name, value) = service["Environment"][0].split_once('=').expect("a variable");
    let upstream = Upstream::echo();
    let site = Site::new(Setup::offload(&upstream));
    let key = site.key(&["--scopes", "scan:read"]);
    let credentials = tempfile::tempdir().expect("a folder");
    let handed = value.replace("%d", &credentials.path().display().to_string());
    fs::rename(site.path("secret.key"), &handed).expect("handed over");
    let program = site.serve_with(&[(name, &handed)]);
    assert_eq!(program.key(&key.text).verdict("/api/x"), "200");
}
