//! Certificates and private keys as PEM (RFC 7468): whether they are whole, and whether the two belong
//! together.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The shortest public key that is looked for, in bytes: what is shorter could stand anywhere by chance.
const SHORTEST_PUBLIC_KEY: usize = 32;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// Where an EC key has its public half (RFC 5915).
const PUBLIC_KEY: u8 = 0xa1;

/// Whether it is a whole certificate.
pub(crate) fn is_certificate(text: &str) -> bool {
    read(text, "CERTIFICATE").is_some()
}

/// Whether both are whole, and the certificate is about this key: of RSA (RFC 8017) and EC keys its public
/// half has to be in it. An Ed25519 key does not carry its public half.
pub(crate) fn is_pair(certificate: &str, key: &str) -> bool {
    let (Some(certificate), Some(key)) = (read(certificate, "CERTIFICATE"), read(key, "PRIVATE KEY")) else {
        return false;
    };
    public_half(&key).is_none_or(|public| {
        public.len() >= SHORTEST_PUBLIC_KEY
            && certificate.windows(public.len()).any(|window| window == public)
    })
}

/// The one DER sequence of a text whose label ends like this.
fn read(text: &str, label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (name, rest) = text.trim().strip_prefix("-----BEGIN ")?.split_once("-----")?;
    let body = rest.strip_suffix("-----")?.strip_suffix(name)?.strip_suffix("-----END ")?;
    let base64: Zeroizing<String> =
        Zeroizing::new(body.chars().filter(|character| !character.is_ascii_whitespace()).collect());
    let der = Zeroizing::new(STANDARD.decode(base64.as_bytes()).ok()?);
    let is_one = matches!(element(&der), Some((SEQUENCE, content, [])) if !content.is_empty());
    (name.ends_with(label) && is_one).then_some(der)
}

/// The public half, where the key carries one: RSA's modulus, EC's point.
fn public_half(key: &[u8]) -> Option<&[u8]> {
    let (_, key, _) = element(key)?;
    let (_, _, rest) = element(key)?;
    let (tag, content, rest) = element(rest)?;
    match tag {
        INTEGER => Some(content),
        OCTET_STRING => point(rest),
        // PKCS #8 (RFC 5208): what kind of key it is, and then the key.
        SEQUENCE => {
            let (_, inner, _) = element(rest)?;
            let (_, inner, _) = element(inner).filter(|(tag, _, _)| *tag == SEQUENCE)?;
            let (_, _, rest) = element(inner)?;
            match element(rest)? {
                (INTEGER, modulus, _) => Some(modulus),
                (_, _, rest) => point(rest),
            }
        }
        _ => None,
    }
}

fn point(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (tag, content, after) = element(rest)?;
        if tag == PUBLIC_KEY {
            let (_, bits, _) = element(content).filter(|(tag, _, _)| *tag == BIT_STRING)?;
            return bits.split_first().map(|(_, point)| point);
        }
        rest = after;
    }
}

/// One element of DER: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first.checked_sub(0x80) {
        None => (usize::from(*first), rest),
        Some(count @ 1..=3) => {
            let (digits, rest) = rest.split_at_checked(usize::from(count))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        Some(_) => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        let length = if length < 0x80 { vec![length] } else { vec![0x81, length] };
        [vec![tag], length, content.to_vec()].concat()
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    fn ec(public: &[u8]) -> Vec<u8> {
        let point = tlv(PUBLIC_KEY, &tlv(BIT_STRING, &[&[0], public].concat()));
        tlv(
            SEQUENCE,
            &[tlv(INTEGER, &[1]), tlv(OCTET_STRING, &[7; 32]), tlv(0xa0, &[6, 1, 42]), point].concat(),
        )
    }

    fn rsa(public: &[u8]) -> Vec<u8> {
        tlv(SEQUENCE, &[tlv(INTEGER, &[0]), tlv(INTEGER, public), tlv(INTEGER, &[3])].concat())
    }

    fn pkcs8(key: &[u8]) -> Vec<u8> {
        let kind = tlv(SEQUENCE, &[6, 1, 42]);
        tlv(SEQUENCE, &[tlv(INTEGER, &[0]), kind, tlv(OCTET_STRING, key)].concat())
    }

    #[test]
    fn a_key_fits_its_certificate_alone() {
        let certificate =
            |public: &[u8]| pem("CERTIFICATE", &tlv(SEQUENCE, &tlv(BIT_STRING, &[&[0], public].concat())));
        let (own, other) = ([4; 65], [5; 65]);
        for (label, key) in [
            ("EC PRIVATE KEY", ec(&own)),
            ("RSA PRIVATE KEY", rsa(&own)),
            ("PRIVATE KEY", pkcs8(&ec(&own))),
            ("PRIVATE KEY", pkcs8(&rsa(&own))),
        ] {
            assert!(is_pair(&certificate(&own), &pem(label, &key)), "{label}");
            assert!(!is_pair(&certificate(&other), &pem(label, &key)), "{label}");
        }
        assert!(is_pair(&certificate(&own), &pem("PRIVATE KEY", &pkcs8(&tlv(OCTET_STRING, &[7; 32])))));
        assert!(!is_pair(&certificate(&own), &pem("RSA PRIVATE KEY", &rsa(&[4]))), "too short to tell");
        assert!(!is_pair(&certificate(&own), &certificate(&own)));
    }

    #[test]
    fn what_is_cut_is_no_certificate() {
        let der = tlv(SEQUENCE, &[1; 100]);
        assert!(is_certificate(&pem("CERTIFICATE", &der)));
        for bad in [
            "-----BEGIN CERTIFICATE-----".to_owned(),
            pem("CERTIFICATE", &[]),
            pem("CERTIFICATE", &tlv(SEQUENCE, &[])),
            pem("CERTIFICATE", &[der.as_slice(), &[0]].concat()),
            pem("CERTIFICATE", der.split_last().unwrap().1),
            pem("CERTIFICATE REQUEST", &der),
            pem("CERTIFICATE", &der).replace("END CERTIFICATE", "END"),
            pem("CERTIFICATE", &der).replace('A', "%"),
        ] {
            assert!(!is_certificate(&bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(certificate: Vec<u8>, key: Vec<u8>) {
            let key = tlv(SEQUENCE, key.get(..key.len().min(200)).unwrap());
            let _ = is_pair(&pem("CERTIFICATE", &tlv(SEQUENCE, &[1])), &pem("PRIVATE KEY", &key));
            let _ = element(&certificate);
        }
    }
}
