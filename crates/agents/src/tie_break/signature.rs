//! Signatures of requests to object stores: AWS Signature Version 4, from its public description.

use sha2::{Digest as _, Sha256};

use super::{text::hex, words::hmac_sha256};

/// Who signs, and for what.
pub(super) struct Signer<'a> {
    pub(super) access_key: &'a str,
    pub(super) secret: &'a str,
    pub(super) region: &'a str,
}

/// What is signed. The path is signed as it is sent.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) body: &'a [u8],
    /// Seconds since 1970.
    pub(super) at: u64,
}

impl Signer<'_> {
    /// The headers that a request needs beside those of `more`, all of which are signed too.
    pub(super) fn headers(&self, request: &Signed<'_>, more: &[(String, String)]) -> Vec<(String, String)> {
        let (stamp, body) = (stamp(request.at), hex(&Sha256::digest(request.body)));
        let day = &stamp[..8];
        let mut headers =
            vec![("x-amz-content-sha256".to_owned(), body.clone()), ("x-amz-date".to_owned(), stamp.clone())];
        let mut all: Vec<(String, String)> = headers.clone();
        all.push(("host".to_owned(), request.host.to_owned()));
        all.extend(more.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())));
        all.sort();
        let names = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let lines: String = all.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("{}\n{}\n\n{lines}\n{names}\n{body}", request.method, request.path);
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let first = format!("AWS4{}", self.secret);
        let key = [day, self.region, "s3", "aws4_request"]
            .iter()
            .fold(first.into_bytes(), |key, part| hmac_sha256(&key, &[part.as_bytes()]).to_vec());
        let signature = hex(&hmac_sha256(&key, &[to_sign.as_bytes()]));
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}",
            self.access_key
        );
        headers.push(("Authorization".to_owned(), value));
        headers
    }
}

/// A path as it is signed and sent: everything but letters, digits, `-._~`, slashes and what is encoded already.
pub(super) fn encoded(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/%".contains(c);
    path.chars().map(|c| if plain(c) { c.to_string() } else { format!("%{:02X}", u32::from(c)) }).collect()
}

/// A time as `YYYYMMDDTHHMMSSZ`.
fn stamp(at: u64) -> String {
    let (days, second) = (at / 86_400, at % 86_400);
    let (mut year, mut day) = (1970, days);
    let leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    // One round for each year since 1970.
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}{:02}{:02}T{hour:02}{minute:02}{:02}Z", month + 1, day + 1, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example `GET Object` of the description: a date, a range, and the signature that must come out.
    #[test]
    fn the_published_example_comes_out() {
        let signer = Signer {
            access_key: "AKIAIOSFODNN7EXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
        };
        let request = Signed {
            method: "GET",
            host: "examplebucket.s3.amazonaws.com",
            path: "/test.txt",
            body: b"",
            at: 1_369_353_600,
        };
        let headers = signer.headers(&request, &[("Range".to_owned(), "bytes=0-9".to_owned())]);
        let (_, authorization) = headers.last().unwrap();
        assert_eq!(
            authorization,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (at, text) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_369_353_600, "20130524T000000Z"),
            (1_735_689_599, "20241231T235959Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(stamp(at), text);
        }
    }

    #[test]
    fn paths_are_encoded_once() {
        assert_eq!(encoded("/b/a+b=c:d$e%20f~"), "/b/a%2Bb%3Dc%3Ad%24e%20f~");
    }
}
