//! A file with exactly one packet. Parsers pass over bytes that GnuPG refuses: what is before, behind and between is judged
//! here, so that a signature which we accept is one for users of GnuPG too.

const BEGIN: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// Why a file is not exactly one signature, binary or armored; `None` if it is.
pub fn fault(bytes: &[u8]) -> Option<&'static str> {
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return packet_fault(bytes);
    }
    match dearmored(bytes) {
        Ok(packet) => packet_fault(&packet),
        Err(why) => Some(why),
    }
}

/// The header of a packet states its length: nothing may follow. Partial and open lengths are for streams.
fn packet_fault(bytes: &[u8]) -> Option<&'static str> {
    let number = |bytes: &[u8]| bytes.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
    let (header, length) = match bytes {
        [tag, length, ..] if tag & 0xc3 == 0x80 => (2, usize::from(*length)),
        [tag, a, b, ..] if tag & 0xc3 == 0x81 => (3, number(&[*a, *b])),
        [tag, a, b, c, d, ..] if tag & 0xc3 == 0x82 => (5, number(&[*a, *b, *c, *d])),
        [tag, length @ 0..192, ..] if tag & 0xc0 == 0xc0 => (2, usize::from(*length)),
        [tag, a @ 192..224, b, ..] if tag & 0xc0 == 0xc0 => (3, (usize::from(*a) - 192) * 256 + usize::from(*b) + 192),
        [tag, 255, a, b, c, d, ..] if tag & 0xc0 == 0xc0 => (6, number(&[*a, *b, *c, *d])),
        _ => return Some("its packet has no definite length"),
    };
    match bytes.len().checked_sub(header) {
        Some(rest) if rest == length => None,
        Some(rest) if rest > length => Some("more follows the signature"),
        _ => Some("it is cut off"),
    }
}

/// The content of one armor block with nothing around it. The checksum may be left out; a wrong one is refused.
fn dearmored(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is neither a packet nor text")?;
    let rest = text.strip_prefix(BEGIN).ok_or("it does not begin with an armor block of a signature")?;
    let (block, behind) = rest.split_once(END).ok_or("its armor has no end")?;
    if !behind.chars().all(|c| c.is_ascii_whitespace()) {
        return Err("more follows the signature");
    }
    let mut lines = block.lines().map(str::trim_end);
    if lines.next() != Some("") {
        return Err("its armor begins with something else");
    }
    if !lines.by_ref().take_while(|line| !line.is_empty()).all(|line| line.contains(':')) {
        return Err("its armor has an invalid header");
    }
    let (mut body, mut checksum) = (String::new(), None);
    for line in lines {
        match line.strip_prefix('=') {
            _ if checksum.is_some() => return Err("more follows the checksum of its armor"),
            Some(sum) if sum.len() == 4 => checksum = Some(sum),
            _ => body.push_str(line),
        }
    }
    let padding = body.bytes().rev().take_while(|byte| *byte == b'=').count();
    let letters = body.as_bytes().get(..body.len() - padding).unwrap_or_default();
    let is_base64 = letters.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte));
    if !is_base64 || padding > 2 || body.is_empty() || body.len() % 4 != 0 {
        return Err("its armor is not base64");
    }
    let decode = |text: &str| openssl::base64::decode_block(text).map_err(|_| "its armor is not base64");
    let mut packet = decode(&body)?;
    packet.truncate(body.len() / 4 * 3 - padding);
    match checksum {
        Some(sum) if decode(sum)? != checksum_of(&packet) => Err("the checksum of its armor is wrong"),
        _ => Ok(packet),
    }
}

/// The CRC-24 of RFC 4880.
fn checksum_of(bytes: &[u8]) -> [u8; 3] {
    let step = |crc: u32| if crc & 0x80_0000 == 0 { crc << 1 } else { (crc << 1) ^ 0x86_4cfb };
    let crc = bytes.iter().fold(0xb7_04ce_u32, |crc, byte| (0..8).fold(crc ^ (u32::from(*byte) << 16), |crc, _| step(crc) & 0xff_ffff));
    let [_, a, b, c] = crc.to_be_bytes();
    [a, b, c]
}
