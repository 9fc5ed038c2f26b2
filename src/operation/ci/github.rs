use super::Step;
use super::checkout::shell;
use super::secrets::Secrets;
use super::template::{Values, environment};

/// Actions of others, by commit: a tag can be moved.
const ACTIONS: [(&str, &str); 3] = [
    ("@CHECKOUT@", "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2"),
    ("@UPLOAD@", "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a # v7.0.1"),
    ("@DOWNLOAD@", "actions/download-artifact@70fc10c6e5e1ce46ad2ea6f2b72d43f7d47b13c3 # v8.0.0"),
];

const WORKFLOWS: [(&str, &str); 5] = [
    ("release", include_str!("github/release.yml")),
    ("channels", include_str!("github/channels.yml")),
    ("plan", include_str!("github/plan.yml")),
    ("refresh", include_str!("github/refresh.yml")),
    ("nightly", include_str!("github/nightly.yml")),
];

/// Before the names of secrets that only read.
const READING: &str = "PLAN_";

/// The workflows, by path.
pub(super) fn files(values: &Values, secrets: &Secrets) -> Vec<(String, String)> {
    let (url, sha256) = match &values.program {
        Some(program) => (format!("\"{}\"", program.url), format!("\"{}\"", program.sha256)),
        None => ("${{ vars.PUBLISH_URL }}".into(), "${{ vars.PUBLISH_SHA256 }}".into()),
    };
    let install = include_str!("github/install.yml").replace("@URL@", &url).replace("@SHA256@", &sha256);
    let named = "      - name: Install publish\n";
    let conditional = install.replace(named, &format!("{named}        if: steps.credentials.outputs.found == 'true'\n"));
    let file = |(name, template): (&str, &str)| {
        let mut template = template
            .replace("@INSTALL@", install.trim_end())
            .replace("@INSTALL_FOR_PLAN@", conditional.trim_end())
            .replace("@RELEASE_SECRETS@", &environment(&secrets.of_release(), ""))
            .replace("@ROLE_SECRETS@", &environment(&secrets.of_roles(), ""))
            .replace("@STORE_SECRETS@", &environment(&secrets.of_store(), ""))
            .replace("@PLAN_SECRETS@", &environment(&secrets.of_store(), READING));
        for (placeholder, action) in ACTIONS {
            template = template.replace(placeholder, action);
        }
        (format!(".github/workflows/publish-{name}.yml"), values.fill("github", &template, secrets))
    };
    WORKFLOWS.into_iter().map(file).collect()
}

/// What a person does once.
pub(super) fn setup(secrets: &Secrets, has_program: bool) -> Vec<Step> {
    let environment = "'repos/{owner}/{repo}/environments/publish";
    let policy = format!("gh api --silent --method POST {environment}/deployment-branch-policies'");
    let mut steps = vec![
        Step {
            what: "Make the environment `publish`: only the default branch and version tags get its secrets".into(),
            lines: vec![
                format!(
                    "gh api --silent --method PUT {environment}' -F 'deployment_branch_policy[protected_branches]=false' -F 'deployment_branch_policy[custom_branch_policies]=true'"
                ),
                format!("{policy} -f type=branch -f name=\"$(gh repo view --json defaultBranchRef --jq .defaultBranchRef.name)\""),
                format!("{policy} -f type=tag -f name='v*'"),
            ],
        },
        Step {
            what: "Store its secrets (without a file, gh asks for the value)".into(),
            lines: secrets
                .of_release()
                .iter()
                .map(|secret| {
                    let from = secret.file.as_ref().map(|file| format!(" < {}", shell(file))).unwrap_or_default();
                    format!("gh secret set {} --env publish{from}", secret.name)
                })
                .collect(),
        },
        Step {
            what: "Store credentials that can only read the store, for plans on pull requests".into(),
            lines: secrets.of_store().iter().map(|secret| format!("gh secret set {READING}{}", secret.name)).collect(),
        },
    ];
    if !has_program {
        steps.push(Step {
            what: "Name the archive that jobs install: publish-VERSION-linux-amd64.tar.gz, its URL and SHA-256".into(),
            lines: vec!["gh variable set PUBLISH_URL".into(), "gh variable set PUBLISH_SHA256".into()],
        });
    }
    steps
}
