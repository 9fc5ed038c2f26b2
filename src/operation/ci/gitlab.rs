use super::Step;
use super::checkout::shell;
use super::secrets::{Purpose, Secret, Secrets};
use super::template::Values;
use std::path::Path;

/// The project's pipeline.
pub(super) const PIPELINE: &str = ".gitlab-ci.yml";
/// Our part of it.
pub(super) const INCLUDED: &str = ".gitlab/publish.gitlab-ci.yml";

const INCLUDE: [&str; 2] = ["include:", "  - local: .gitlab/publish.gitlab-ci.yml"];

/// The files, by path.
pub(super) fn files(values: &Values, secrets: &Secrets) -> Vec<(String, String)> {
    let program = values
        .program
        .as_ref()
        .map_or(String::new(), |program| format!("\n    PUBLISH_URL: \"{}\"\n    PUBLISH_SHA256: \"{}\"", program.url, program.sha256));
    let role_keys = secrets.of_roles().into_iter().filter(|secret| secret.purpose == Purpose::RoleKey);
    let check = |secret: &Secret| {
        format!(
            "      : \"${{{0}:?the variable {0} is not set: this job needs it with the scope publish, on a protected branch}}\"",
            secret.name
        )
    };
    let mut checks: Vec<String> = role_keys.map(check).collect();
    if checks.is_empty() {
        // All keys are in a key service.
        checks.push("      :".into());
    }
    let template = include_str!("gitlab.yml").replace("@TOOL_VARIABLES@", &program).replace("@KEYS@", &checks.join("\n"));
    vec![
        (INCLUDED.to_owned(), values.fill("gitlab", &template, secrets)),
        (PIPELINE.to_owned(), values.fill("gitlab", &INCLUDE.join("\n"), secrets)),
    ]
}

/// What a person does once.
pub(super) fn setup(secrets: &Secrets, has_program: bool, directory: &Path, included: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    if directory.join(PIPELINE).exists() && !included {
        steps.push(Step {
            what: format!("Add these lines to {PIPELINE}, which is yours (if it has `include:` already, add the second one there)"),
            lines: INCLUDE.map(str::to_owned).to_vec(),
        });
    }
    steps.push(Step {
        what: "Protect version tags and the default branch: only jobs of protected refs get protected variables".into(),
        lines: vec!["glab api --silent --method POST projects/:id/protected_tags -f name='v*'".into()],
    });
    steps.push(Step {
        what: "Store the variables of the environment `publish` (GitLab masks single lines only, so keys are stored as base64)".into(),
        lines: secrets.of_release().iter().map(|secret| store(secret, "--protected --masked --raw --scope publish")).collect(),
    });
    let reading = secrets.of_store();
    let mut lines: Vec<String> = reading.iter().map(|secret| store(secret, "--masked --raw --scope publish-plan")).collect();
    lines.push(typed("PUBLISH_GITLAB_TOKEN", "--masked --raw --scope publish-plan"));
    steps.push(Step {
        what: "Store credentials that can only read the store, and an access token that may comment (Reporter, scope api), for plans on merge requests".into(),
        lines,
    });
    if !has_program {
        steps.push(Step {
            what: "Name the archive that jobs install: publish-VERSION-linux-amd64.tar.gz, its URL and SHA-256".into(),
            lines: vec![typed("PUBLISH_URL", "--raw"), typed("PUBLISH_SHA256", "--raw")],
        });
    }
    let branch = shell(&default_branch(directory));
    let schedule = |cron: &str, job: &str| {
        format!("glab schedule create --cron '{cron}' --ref {branch} --description 'publish {job}' --variable PUBLISH_JOB:{job}")
    };
    steps.push(Step {
        what: format!("Make the schedules (on the default branch, here {branch})"),
        lines: vec![schedule("17 * * * *", "refresh"), schedule("43 3 * * *", "nightly")],
    });
    steps
}

/// Stores a secret without showing it: no value stands on a command line.
fn store(secret: &Secret, options: &str) -> String {
    match (&secret.file, secret.purpose) {
        (Some(file), Purpose::RoleKey | Purpose::OpenpgpKey) => {
            format!("base64 -w0 < {} | glab variable set {} {options}", shell(file), secret.name)
        }
        (Some(file), _) => format!("tr -d '\\n' < {} | glab variable set {} {options}", shell(file), secret.name),
        (None, _) => typed(&secret.name, options),
    }
}

/// The same for a value that a person types; in bash and zsh nothing is echoed.
fn typed(name: &str, options: &str) -> String {
    format!("(printf '{name}: ' >&2; read -rs it; printf %s \"$it\") | glab variable set {name} {options}")
}

/// The default branch, as the clone knows it.
fn default_branch(directory: &Path) -> String {
    let head = std::fs::read_to_string(directory.join(".git/refs/remotes/origin/HEAD")).unwrap_or_default();
    head.trim().strip_prefix("ref: refs/remotes/origin/").unwrap_or("main").to_owned()
}
