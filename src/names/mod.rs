//! Names: of targets and roles as TUF clients know them, of objects as the store knows them, and what they consist of. Each
//! is parsed once, into a type that says what it is.

mod channel;
mod desktop;
mod object;
mod pattern;
mod platform;
mod role;
mod target_name;
mod target_path;
mod version;

pub use channel::{CHANNEL_NAMES, check_channel, check_group};
pub use desktop::is_left_by_desktop;
pub use object::ObjectName;
pub use pattern::{fits_pattern, fits_tree_pattern};
pub use platform::Platform;
pub use role::{BINS, Role, RoleName};
pub use target_name::{
    ArtifactName, CERTIFICATES, CHANNELS, RELEASES, SIGNATURES, SignatureName, TargetName, YANKED, artifact_name, certificate_name,
    channel_name, directories_above, is_spelling_of_reserved, platform_directory, release_directory, released_versions,
    signature_directory, yanked_name,
};
pub use target_path::{MAX_PATH, TargetPath};
pub use version::{ReleaseVersion, full_number};

/// What a channel target holds: the version and a newline, as trdl's server writes it.
pub fn channel_content(version: &str) -> Vec<u8> {
    format!("{version}\n").into_bytes()
}
