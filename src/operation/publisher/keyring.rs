use crate::error::{Error, Result};
use crate::files::{GIVEN_FILE_LIMIT, read_given};
use crate::keys::{self, KeyUri, Passphrases, RoleSigner, Secret, Use};
use crate::metadata::{Role, Root};
use crate::openpgp::SigningKey;
use crate::tree::TreeFile;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Where the keys of a publisher are, and what opens them.
pub struct Keyring {
    /// The keys of each role.
    pub roles: BTreeMap<Role, Vec<KeyUri>>,
    /// The keys of the bins; empty where the targets key signs them.
    pub bins: Vec<KeyUri>,
    /// The OpenPGP key.
    pub openpgp: KeyUri,
    /// The file with the certificate of an OpenPGP key that is not in a file.
    pub openpgp_certificate: PathBuf,
    /// The file with the names of the people who hold keys.
    pub names: PathBuf,
    /// Opens encrypted keys.
    pub passphrases: Box<dyn Passphrases>,
}

impl Keyring {
    /// The keys configured for a role.
    pub fn of(&self, role: Role) -> &[KeyUri] {
        self.roles.get(&role).map_or(&[][..], Vec::as_slice)
    }

    /// Opens a key.
    pub fn load(&self, uri: &KeyUri) -> Result<Arc<dyn RoleSigner>> {
        keys::load(uri, self.passphrases.as_ref())
    }

    /// Opens those of the keys that can be opened, and says why the others cannot.
    pub fn load_all(&self, uris: &[KeyUri]) -> (Vec<Arc<dyn RoleSigner>>, Vec<Error>) {
        keys::load_all(uris, self.passphrases.as_ref())
    }

    /// Whether all keys configured for a role seem to be at hand.
    pub fn has_keys(&self, role: Role) -> bool {
        self.roles.get(&role).is_some_and(|uris| uris.iter().all(KeyUri::is_at_hand))
    }

    /// Whether enough of the keys configured for a role seem to be at hand to sign it.
    pub fn has_enough_keys(&self, root: &Root, role: Role) -> bool {
        let at_hand = self.of(role).iter().filter(|uri| uri.is_at_hand()).count();
        at_hand as u64 >= root.role(role).threshold
    }

    /// Opens the OpenPGP key.
    pub fn openpgp_key(&self, now: DateTime<Utc>) -> Result<SigningKey> {
        if let Some(signer) = keys::load_for_openpgp(&self.openpgp, self.passphrases.as_ref())? {
            let key = SigningKey::remote(&self.certificate()?, &self.openpgp.origin(), now, signer)?;
            return key.try_out().map(|()| key);
        }
        let file = keys::read_secret(&self.openpgp)?;
        keys::unlocked(self.passphrases.as_ref(), Use::OpenPgp, |unlock| {
            let unlock = |what: &str| unlock(what).map(|secret: Secret| Zeroizing::new(secret.expose().to_vec()));
            SigningKey::load(&file, &self.openpgp.origin(), now, &unlock)
        })
    }

    /// The OpenPGP certificate: in the key's own file, or beside a key that is stored elsewhere.
    pub fn certificate(&self) -> Result<Zeroizing<Vec<u8>>> {
        if matches!(self.openpgp, KeyUri::File(_) | KeyUri::Env(_)) {
            return keys::read_secret(&self.openpgp);
        }
        if let Some(certificate) = keys::openpgp_certificate(&self.openpgp)? {
            return Ok(Zeroizing::new(certificate));
        }
        read_given(&self.openpgp_certificate, GIVEN_FILE_LIMIT).map(Zeroizing::new).map_err(|error| {
            Error::io("read the OpenPGP certificate", self.openpgp_certificate.display(), error)
                .hint("a key that is not in a file has its certificate in `openpgp_certificate`; make one with: publish key certify")
        })
    }

    /// Refuses to publish the secret keys of this publisher: `add-targets keys` is one slip away.
    pub(in crate::operation) fn check_no_secret<'f>(&self, files: impl Iterator<Item = &'f TreeFile>) -> Result<()> {
        let uris = self.roles.values().flatten().chain(&self.bins).chain([&self.openpgp]);
        let paths = uris.filter_map(|uri| if let KeyUri::File(path) = uri { Some(path.clone()) } else { None });
        let paths = paths.flat_map(|path| [path.with_extension("revocation.asc"), path]);
        let secrets: HashSet<(u64, u64)> =
            paths.filter_map(|path| std::fs::metadata(path).ok()).map(|found| (found.dev(), found.ino())).collect();
        let found: Vec<String> = files.filter(|file| secrets.contains(&file.identity())).map(TreeFile::shown).collect();
        if found.is_empty() {
            return Ok(());
        }
        Err(Error::invalid("secret keys of this publisher are among the files; nothing was published")
            .problems(found)
            .hint("name only the files that users need"))
    }
}
