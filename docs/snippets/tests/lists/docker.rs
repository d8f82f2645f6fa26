//! The guide to Docker and the generated files say the same.

use super::sources::read;

#[test]
fn the_guide_to_docker_matches_the_generated_files() {
    let guide = read("docs/docker.md");
    for (in_guide, name, in_file) in [
        ("no shell, and no root", "Dockerfile", "gcr.io/distroless/cc-debian12:nonroot"),
        ("docker build --tag my-app .", "Dockerfile", "docker build --tag my-app ."),
        ("docker build --tag my-app .", "README.md", "docker build --tag my-app ."),
        ("Commit `Cargo.lock`", "Dockerfile", "cargo build --release --locked"),
        ("a layer of\ntheir own", "Dockerfile", "cargo chef cook --release --locked"),
        ("--publish 127.0.0.1:4000:4000", "Dockerfile", "EXPOSE 4000"),
        ("--volume my-app:/data", "Dockerfile", "VOLUME /data"),
        ("`sqlite:///data/my_app.db`", "Dockerfile", "DATABASE_URL=sqlite:///data/my_app.db"),
        ("`0.0.0.0`", "Dockerfile", "HOST=0.0.0.0 PORT=4000"),
        ("`/server check-health`", "Dockerfile", "[\"/server\", \"check-health\"]"),
        ("`stop_grace_period: 15s`", "compose.yaml", "stop_grace_period: 15s"),
        ("[Mailpit]", "compose.yaml", "axllent/mailpit"),
        ("<http://localhost:8025>", "compose.yaml", "127.0.0.1:8025:8025"),
        ("docker compose up --detach", "README.md", "docker compose up --detach"),
        ("docker compose --profile app up --build", "compose.yaml", "profiles: [app]"),
        ("in development mode", "compose.yaml", "APP_ENV: dev"),
        ("<http://localhost:4000>", "compose.yaml", "PUBLIC_URL: http://localhost:4000"),
        ("published only on `127.0.0.1`", "compose.yaml", "127.0.0.1:4000:4000"),
    ] {
        assert!(guide.contains(in_guide), "docs/docker.md has no {in_guide:?}");
        let file = read(&format!("crates/cargo-sigra/template/{name}"));
        assert!(file.contains(in_file), "{name} has no {in_file:?}, and docs/docker.md says {in_guide:?}");
    }
}

/// An image with a secret in it is a leak, wherever it is pushed.
#[test]
fn no_secret_of_a_developer_gets_into_an_image() {
    let ignored = read("crates/cargo-sigra/template/.dockerignore");
    for name in [".env", ".my_app_dev_secret", "*.db"] {
        assert!(ignored.lines().any(|line| line == name), "{name}");
    }
}
