/// Files and directories that desktops and file managers leave behind, in lower case.
const LEFT_BEHIND: [&str; 15] = [
    ".ds_store",
    ".localized",
    ".appledouble",
    ".apdisk",
    ".directory",
    ".documentrevisions-v100",
    ".fseventsd",
    ".spotlight-v100",
    ".temporaryitems",
    ".trashes",
    "__macosx",
    "desktop.ini",
    "ehthumbs.db",
    "thumbs.db",
    "icon\r",
];

/// Whether a path has a part that a desktop has left behind and no build makes: macOS' `.DS_Store` and `._x`, Windows'
/// `Thumbs.db` and `desktop.ini`, and the like.
pub fn is_left_by_desktop(path: &str) -> bool {
    path.split('/').any(|part| {
        let part = part.to_lowercase();
        part.starts_with("._") || part.starts_with(".trash-") || LEFT_BEHIND.contains(&part.as_str())
    })
}
