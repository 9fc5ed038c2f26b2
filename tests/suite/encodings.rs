//! Key files as PowerShell, editors and CI secrets hand them over.

use crate::sandbox::{Run, Sandbox};
use std::fs;
use std::os::unix::fs::PermissionsExt;

type Encode = fn(&str) -> Vec<u8>;

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

/// Every way to write a text that has lines.
const WAYS: [(&str, Encode); 14] = [
    ("as it is", |text| text.as_bytes().to_vec()),
    ("byte order mark", |text| [b"\xef\xbb\xbf", text.as_bytes()].concat()),
    ("UTF-16 of Windows", |text| [b"\xff\xfe".to_vec(), utf16(&text.replace('\n', "\r\n"), u16::to_le_bytes)].concat()),
    ("UTF-16, big endian", |text| [b"\xfe\xff".to_vec(), utf16(text, u16::to_be_bytes)].concat()),
    ("UTF-16 without a mark", |text| utf16(text, u16::to_le_bytes)),
    ("base64", |text| openssl::base64::encode_block(text.as_bytes()).into_bytes()),
    ("base64 in lines", |text| {
        let block = openssl::base64::encode_block(text.as_bytes());
        block.as_bytes().chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect()
    }),
    ("base64 of UTF-8 with a mark", |text| openssl::base64::encode_block(&[b"\xef\xbb\xbf", text.as_bytes()].concat()).into_bytes()),
    ("escaped line breaks", |text| text.replace('\n', "\\n").into_bytes()),
    ("escaped and quoted", |text| format!("\"{}\"\n", text.replace('\n', "\\r\\n")).into_bytes()),
    ("line breaks became spaces", |text| text.replace('\n', " ").into_bytes()),
    ("line breaks are lost", |text| text.replace('\n', "").into_bytes()),
    ("indented", |text| format!("  {}", text.trim_end().replace('\n', "\n  ")).into_bytes()),
    ("CRLF and blank lines around", |text| format!("\r\n\r\n{}\r\n\r\n", text.replace('\n', "\r\n")).into_bytes()),
];

fn keep(sandbox: &Sandbox, bytes: &[u8]) {
    let path = sandbox.write("key", bytes);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn keys_of_roles_are_read_however_they_are_written() {
    let sandbox = Sandbox::empty();
    sandbox.publish(&["key", "new", "ed25519.pem", "--no-passphrase"]).ok();
    sandbox.publish(&["key", "new", "rsa.pem", "--no-passphrase", "--kind", "rsa"]).ok();
    for name in ["ed25519.pem", "rsa.pem"] {
        let text = fs::read_to_string(sandbox.path(name)).unwrap();
        let id = sandbox.publish(&["key", "show", name, "--json"]).ok().json()["key_id"].clone();
        for (way, encode) in WAYS {
            keep(&sandbox, &encode(&text));
            let run = sandbox.publish(&["key", "show", "key", "--json"]);
            assert!(run.code == 0 && run.json()["key_id"] == id, "{name}, {way}: {run:#?}");
        }
        // CI hands keys over in variables, too.
        for (way, encode) in WAYS.iter().filter(|(way, _)| !way.contains("UTF-16")) {
            let value = String::from_utf8(encode(&text)).unwrap();
            let run: Run = sandbox.command().args(["key", "show", "env:KEY", "--json"]).env("KEY", value).output().unwrap().into();
            assert!(run.code == 0 && run.json()["key_id"] == id, "{name}, {way}: {run:#?}");
        }
    }
    // A passphrase is given anew to a file in any form, and the file is an ordinary one then.
    keep(&sandbox, &WAYS[2].1(&fs::read_to_string(sandbox.path("ed25519.pem")).unwrap()));
    sandbox.publish(&["key", "passphrase", "key", "--no-passphrase"]).ok();
    assert!(fs::read_to_string(sandbox.path("key")).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
}

#[test]
fn openpgp_keys_are_read_however_they_are_written() {
    let sandbox = Sandbox::new();
    let text = fs::read_to_string(sandbox.path("keys/openpgp.asc")).unwrap();
    // What sequoia writes for people in the armor goes; one key keeps its headers.
    let (begin, rest) = text.split_once('\n').unwrap();
    let (headers, body) = rest.split_once("\n\n").unwrap_or(("", rest));
    let plain = format!("{begin}\n\n{body}");
    let fingerprint = sandbox.publish(&["key", "check", "keys/openpgp.asc", "--json"]).ok().json()["fingerprint"].clone();
    for (way, encode) in WAYS {
        keep(&sandbox, &encode(&plain));
        let run = sandbox.publish(&["key", "check", "key", "--json"]);
        assert!(run.code == 0 && run.json()["fingerprint"] == fingerprint, "{way}: {run:#?}");
        let with_headers = format!("{begin}\nComment: {}\n\n{body}", if headers.is_empty() { "acme" } else { "acme releases" });
        keep(&sandbox, &encode(&with_headers));
        let run = sandbox.publish(&["key", "check", "key", "--json"]);
        let lost = way.starts_with("line breaks");
        assert!(if lost { run.code == 6 && run.stdout.contains("line breaks") } else { run.code == 0 }, "{way}: {run:#?}");
    }
    // Binary, and base64 of that.
    let binary = fs::read(crate::sandbox::testdata().join("openpgp/binary.gpg")).unwrap();
    for bytes in [binary.clone(), openssl::base64::encode_block(&binary).into_bytes()] {
        keep(&sandbox, &bytes);
        sandbox.publish(&["key", "check", "key"]).ok().says(&["OpenPGP", "verified", "GnuPG 2.2 and 2.4"]);
    }
    // It signs, from the config and by way of `init`.
    let fresh = Sandbox::empty();
    keep(&fresh, &WAYS[2].1(&plain));
    fresh.publish(&["init", "--name", "acme", "--no-passphrase", "--openpgp-key", "key"]).ok();
    fresh.release("1.0.0").ok();
    fresh.publish(&["key", "extend", "730d"]).ok();
    fresh.publish(&["verify"]).ok().says(&["1 OpenPGP signature checked"]);
}

#[test]
fn what_is_wrong_with_a_key_file_is_named() {
    let sandbox = Sandbox::empty();
    sandbox.publish(&["key", "new", "good.pem", "--no-passphrase"]).ok();
    let text = fs::read_to_string(sandbox.path("good.pem")).unwrap();
    let cut = text.rsplit_once("-----END").unwrap().0.to_owned();
    let odd = [&b"\xff\xfe"[..], &[0x00, 0xd8, 0x41]].concat();
    for (bytes, words) in [
        (cut.as_bytes().to_vec(), "has no end"),
        (odd, "looks like UTF-16 but is not"),
        (Vec::new(), "is empty"),
        (b" \n".to_vec(), "is empty"),
        (b"\xef\xbb\xbf".to_vec(), "is not a private key"),
        (vec![b'A'; 4096], "is not a private key"),
        (openssl::base64::encode_block(b"nothing").into_bytes(), "is not a private key"),
        (b"-----BEGIN PRIVATE KEY-----".to_vec(), "has no end"),
        (b"-----BEGIN PRIVATE KEY----------END PRIVATE KEY-----".to_vec(), "is not a private key"),
        ("-----BEGIN PRIVATE KEY-----\n\u{e4}\u{f6}\u{fc}\n-----END PRIVATE KEY-----".into(), "is not a private key"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\u{2028}=\u{e4}bcd-----END PGP PRIVATE KEY BLOCK-----".into(), "is not an OpenPGP key"),
    ] {
        keep(&sandbox, &bytes);
        let run = sandbox.publish(&["key", "check", "key"]).fails(6, &[words]);
        let secret = text.lines().nth(1).unwrap();
        assert!(!run.stderr.contains(secret), "{run:#?}");
    }
}
