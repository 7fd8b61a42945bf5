//! The image and the composition, as far as they can be judged without a container engine: what they copy is there,
//! what they run exists, and nobody in them has rights that they need not have.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use super::{shipped, text};
use crate::support::program::{run, run_with};

/// The instructions of the Dockerfile, stage by stage, each as its word and the rest.
fn stages() -> Vec<Vec<(String, String)>> {
    let mut stages: Vec<Vec<(String, String)>> = Vec::new();
    let lines = text("Dockerfile").replace("\\\n", " ");
    for line in lines.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let (word, rest) = line.split_once(' ').expect("an instruction");
        if word == "FROM" {
            stages.push(Vec::new());
        }
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        stages.last_mut().expect("FROM comes first").push((word.to_owned(), rest));
    }
    stages
}

fn of<'a>(stage: &'a [(String, String)], word: &str) -> Vec<&'a str> {
    stage.iter().filter(|(name, _)| name == word).map(|(_, rest)| rest.as_str()).collect()
}

/// A command as a list of words.
fn words(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// Every command exists with its flags.
fn exists(command: &[String]) {
    let help = run([command[0].as_str(), "--help"], "");
    assert_eq!(help.code, 0, "{command:?}");
    for flag in command.iter().filter(|word| word.starts_with("--")) {
        assert!(help.stdout.contains(flag.as_str()), "{command:?}: {flag}");
    }
}

/// Images are named by their whole version.
fn is_pinned(image: &str) -> bool {
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    tag.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()) && tag.contains('.')
}

/// The image holds one program, run by nobody in particular, with what it needs and no secret.
#[test]
fn the_image_is_small_and_powerless() {
    let stages = stages();
    let [build, last] = stages.as_slice() else { panic!("two stages") };
    for stage in &stages {
        assert!(is_pinned(of(stage, "FROM")[0].split(' ').next().expect("an image")), "{stage:?}");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignored = fs::read_to_string(root.join(".dockerignore")).expect(".dockerignore");
    let mut sent: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(ignored.lines().any(|line| line == "*"), "nothing is sent but what is named");
    let mut copied: Vec<&str> = Vec::new();
    for copy in of(build, "COPY") {
        let words: Vec<&str> = copy.split(' ').collect();
        copied.extend(&words[..words.len() - 1]);
    }
    for source in &copied {
        assert!(root.join(source).exists(), "COPY {source}");
    }
    copied.sort_unstable();
    sent.sort_unstable();
    assert_eq!(copied, sent);
    assert!(of(last, "COPY").iter().all(|copy| copy.starts_with("--from=build ")));

    assert_eq!(of(last, "USER"), ["65532:65532"]);
    assert_eq!(of(last, "STOPSIGNAL"), ["SIGTERM"]);
    assert_eq!(of(last, "VOLUME"), ["[\"/data\"]"]);
    let program = words(of(last, "ENTRYPOINT")[0]);
    assert_eq!(program, ["/usr/local/bin/latchgate"]);
    exists(&words(of(last, "CMD")[0]));
    let health = of(last, "HEALTHCHECK")[0].split_once("CMD ").expect("a command").1;
    let health = words(health);
    assert_eq!(health[0], program[0]);
    exists(&health[1..]);
    for variable in of(last, "ENV").iter().flat_map(|line| line.split(' ')) {
        let name = variable.split('=').next().expect("a name");
        assert!(!["SECRET", "PASSWORD", "TOKEN"].iter().any(|word| name.contains(word)), "{name}");
    }
}

/// What the image is built from is a whole package, and its variables are keys of the configuration.
#[test]
fn the_images_parts_fit() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for copy in of(&stages()[0], "COPY") {
        for source in copy.split(' ').filter(|source| !source.starts_with("./")) {
            std::os::unix::fs::symlink(root.join(source), folder.path().join(source)).ok();
        }
    }
    let manifest = folder.path().join("Cargo.toml");
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--no-deps", "--offline", "--format-version=1", "--manifest-path"])
        .arg(&manifest)
        .output()
        .expect("cargo");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));

    let last = &stages()[1];
    let variables: Vec<(&str, &str)> = of(last, "ENV")
        .iter()
        .flat_map(|line| line.split(' '))
        .map(|variable| variable.split_once('=').expect("name=value"))
        .collect();
    let gate = folder.path().join("gate").display().to_string();
    let made = run(["init", "--dir", &gate, "--state", &format!("{gate}/data")], "");
    assert_eq!(made.code, 0, "{made:?}");
    let config = format!("{gate}/latchgate.toml");
    let checked = run_with(["check", "--config", &config, "--output", "json"], "", &variables);
    assert_eq!(checked.code, 0, "{checked:?}");
    for (name, value) in variables {
        assert!(checked.stdout.contains(value), "{name}={value} is not in force: {}", checked.stdout);
    }
}

/// A YAML file, read by a parser of its own.
fn yaml(name: &str) -> Value {
    let read = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let done = Command::new("/usr/bin/python3").args(["-c", read]).arg(shipped(name)).output();
    let done = done.expect("Debian's Python: run `bash tests/run`");
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Every service has what it needs and no more, and what belongs together has the same names.
#[test]
fn the_composition_is_closed() {
    let compose = yaml("compose.yaml");
    let services = compose["services"].as_object().expect("services");
    for (name, service) in services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(strings(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(strings(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        assert!(service["image"].as_str().is_some_and(is_pinned), "{name}");
        assert!(service["healthcheck"].is_object() || name == "gateway", "{name}");
        assert!(service["privileged"].is_null() && service["network_mode"].is_null(), "{name}");
        for port in strings(&service["ports"]) {
            assert!(
                name == "gateway" || port.starts_with("127.0.0.1:"),
                "{name} is open to everybody: {port}"
            );
        }
        for volume in strings(&service["volumes"]) {
            let source = volume.split(':').next().expect("a source");
            let Some(file) = source.strip_prefix("./") else {
                assert!(compose["volumes"][source].is_object(), "{name}: {volume}");
                continue;
            };
            assert!(file.starts_with("gate/") || shipped(file).exists(), "{name}: {volume}");
        }
        for network in strings(&service["networks"]) {
            assert!(compose["networks"][network].is_object(), "{name}: {network}");
        }
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            if let Some(secret) = value.as_str().and_then(|value| value.strip_prefix("/run/secrets/")) {
                assert!(strings(&service["secrets"]).contains(&secret), "{name}: {variable}");
                let file = compose["secrets"][secret]["file"].as_str();
                assert!(file.is_some_and(|file| file.starts_with("./gate/")), "{name}: {variable}");
            }
        }
    }
    let gateway = &services["gateway"];
    let last = &stages()[1];
    assert_eq!(gateway["user"].as_str(), Some(of(last, "USER")[0]));
    assert_eq!(strings(&gateway["ports"]), ["8080:8080"]);
    assert_eq!(services["backend"]["networks"], serde_json::json!(["back"]));
    assert_eq!(compose["networks"]["back"]["internal"], true);
    let config = words(of(last, "CMD")[0]).last().cloned().expect("a path");
    assert!(strings(&gateway["volumes"]).iter().any(|volume| volume.ends_with(&format!(":{config}:ro"))));

    let ops = of(last, "ENV").concat();
    let port = ops.split("OPS=0.0.0.0:").nth(1).expect("the ops port");
    let target = &yaml("prometheus/prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"][0];
    assert_eq!(target.as_str(), Some(format!("gateway:{port}").as_str()));
    let source = yaml("grafana/provisioning/datasources/prometheus.yaml");
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    let provider = yaml("grafana/provisioning/dashboards/latchgate.yaml");
    let folder = provider["providers"][0]["options"]["path"].as_str().expect("a folder");
    let mounted = format!("./grafana/latchgate.json:{folder}/latchgate.json:ro");
    assert!(strings(&services["grafana"]["volumes"]).contains(&mounted.as_str()));
}
