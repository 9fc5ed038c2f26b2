"""A workflow that uses the action."""


def action_workflow(action, command, extra=""):
    secrets = ["PUBLISH_TARGETS_KEY", "PUBLISH_SNAPSHOT_KEY", "PUBLISH_TIMESTAMP_KEY", "PUBLISH_OPENPGP_KEY", "PUBLISH_PASSPHRASE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    env = "\n".join(f"          {name}: ${{{{ secrets.{name} }}}}" for name in secrets)
    return f"""name: with the action
on: {{push: {{tags: ["v*"]}}, workflow_dispatch: }}
permissions: {{contents: read}}
defaults: {{run: {{shell: bash}}}}
jobs:
  {command}:
    runs-on: ubuntu-24.04
    environment: publish
    steps:
      - uses: actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd
        with: {{persist-credentials: false}}
      - run: make dist
      - uses: {action}
        with:
          url: ${{{{ vars.PUBLISH_URL }}}}
          sha256: ${{{{ vars.PUBLISH_SHA256 }}}}
          # inputs
        env:
{env}
{extra}"""
