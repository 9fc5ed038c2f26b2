//! The client of the `tuf` crate reads the same repository: written by other people, it must come to the same verdict
//! wherever it can read the format at all.

use super::{Chain, VerifyRequest};
use crate::metadata::{KeyKind, ROLE_LIMIT, ROOT_LIMIT, Target, Targets};
use crate::names::ObjectName;
use crate::storage::Source;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::io::{AsyncRead, Cursor};
use serde::Serialize;
use serde_json::Value;
use tuf::client::{Client, Config};
use tuf::metadata::{MetadataPath, MetadataVersion, RawSignedMetadata, TargetPath};
use tuf::pouf::Pouf1;
use tuf::repository::{EphemeralRepository, RepositoryProvider};

/// The result of the other client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum SecondOpinion {
    /// The metadata did not even satisfy our own client.
    NotAsked,
    /// It reads the repository and sees the same targets.
    Agrees,
    /// It cannot read this kind of repository.
    CannotRead {
        /// What it does not support.
        reason: String,
    },
    /// It refuses what our client accepts.
    Disagrees {
        /// Its message.
        reason: String,
    },
}

/// Asks the other client about metadata that ours has accepted.
pub(super) fn ask(request: &VerifyRequest<'_>, anchor: &[u8], chain: &Chain, has_errors: bool) -> SecondOpinion {
    if has_errors {
        return SecondOpinion::NotAsked;
    }
    if let Some(reason) = unsupported(chain) {
        return SecondOpinion::CannotRead { reason };
    }
    match futures_executor::block_on(read(request, anchor, &chain.top)) {
        Ok(()) => SecondOpinion::Agrees,
        Err(reason) => SecondOpinion::Disagrees { reason },
    }
}

/// What of the repository the crate is known not to read.
fn unsupported(chain: &Chain) -> Option<String> {
    let (root, top) = (chain.trust.root(), &chain.top);
    let versions = [
        root.field("spec_version").and_then(Value::as_str).map(str::to_owned),
        top.field("spec_version").and_then(|json| serde_json::from_str(json).ok()),
    ];
    for version in versions.into_iter().flatten() {
        if version != "1.0" && version != "1.0.0" {
            return Some(format!("spec_version {version}"));
        }
    }
    for (id, key) in root.keys() {
        if key.kind() != KeyKind::Ed25519 {
            return Some(format!("a key of type {}", key.keytype()));
        }
        if *id != key.id() {
            return Some("key ids that are not computed from the key".into());
        }
    }
    if !root.unreadable_keys().is_empty() {
        return Some("keys of unknown types".into());
    }
    if top.field("delegations").is_some() {
        return Some("delegations".into());
    }
    let name = top.names().find(|name| TargetPath::new((*name).to_owned()).is_err());
    name.map(|name| format!("the target name {name}"))
}

async fn read(request: &VerifyRequest<'_>, anchor: &[u8], top: &Targets) -> Result<(), String> {
    let words = |error: tuf::Error| error.to_string();
    let root = RawSignedMetadata::<Pouf1, _>::new(anchor.to_vec());
    // Our own limits have been applied already; the crate's flat ones are smaller than what a stated length allows.
    let config = Config::build()
        .max_targets_length(None)
        .max_snapshot_length(None)
        .max_root_length(Some(ROOT_LIMIT as usize))
        .finish()
        .map_err(words)?;
    let remote = Remote { source: request.source };
    let mut client = Client::with_trusted_root(config, &root, EphemeralRepository::new(), remote).await.map_err(words)?;
    client.update_with_start_time(&request.now).await.map_err(words)?;
    let theirs = client.database().trusted_targets().map(|targets| targets.targets()).ok_or("it has no targets role")?;
    if theirs.len() != top.len() {
        return Err(format!("it reads {} targets, and this program reads {}", theirs.len(), top.len()));
    }
    for (name, description) in theirs {
        let ours = top.get(&name.to_string()).ok().flatten();
        if ours.as_ref().map(|target: &Target| target.length) != Some(description.length()) {
            return Err(format!("it reads another length for target {name}"));
        }
    }
    Ok(())
}

/// Our source in the form of the crate.
struct Remote<'s> {
    source: &'s dyn Source,
}

impl Remote<'_> {
    fn fetch(&self, name: &ObjectName) -> tuf::Result<Vec<u8>> {
        match self.source.get(name, ROLE_LIMIT) {
            Ok(Some(object)) => Ok(object.bytes),
            Ok(None) => Err(tuf::Error::Opaque(format!("{name} is missing"))),
            Err(failure) => Err(tuf::Error::Opaque(failure.message)),
        }
    }
}

impl RepositoryProvider<Pouf1> for Remote<'_> {
    fn fetch_metadata<'a>(
        &'a self,
        path: &MetadataPath,
        version: MetadataVersion,
    ) -> BoxFuture<'a, tuf::Result<Box<dyn AsyncRead + Send + Unpin + 'a>>> {
        let name = match version {
            MetadataVersion::Number(version) => ObjectName::versioned(path, u64::from(version)),
            MetadataVersion::None => ObjectName::plain_role(path),
        };
        // The crate ends its walk over the roots only at this very error.
        let missing = || tuf::Error::MetadataNotFound { path: path.clone(), version };
        let bytes = match self.source.get(&name, ROLE_LIMIT) {
            Ok(Some(object)) => Ok(object.bytes),
            Ok(None) => Err(missing()),
            Err(failure) => Err(tuf::Error::Opaque(failure.message)),
        };
        async move { Ok(Box::new(Cursor::new(bytes?)) as Box<dyn AsyncRead + Send + Unpin>) }.boxed()
    }

    fn fetch_target<'a>(&'a self, path: &TargetPath) -> BoxFuture<'a, tuf::Result<Box<dyn AsyncRead + Send + Unpin + 'a>>> {
        let bytes = self.fetch(&ObjectName::plain_target(&path.to_string()));
        async move { Ok(Box::new(Cursor::new(bytes?)) as Box<dyn AsyncRead + Send + Unpin>) }.boxed()
    }
}
