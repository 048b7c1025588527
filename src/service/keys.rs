//! Access tokens: JWTs signed with Ed25519 keys, which the database keeps sealed under the key file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::{Error, Result};
use crate::domain::values::{SessionId, Timestamp, UserId};
use crate::mutants::mutant;
use crate::repository::Database;
use crate::repository::identity::{self, SigningKeyRow};

/// `iss` and `aud` of the tokens that this service makes and takes.
pub const ISSUER: &str = "slipway";
/// `typ` of access tokens (RFC 9068).
pub const TOKEN_TYPE: &str = "at+jwt";
/// `typ` of checkpoints of the audit: no access token is taken for one, and none for an access token.
pub const CHECKPOINT_TYPE: &str = "slipway-checkpoint+jwt";
/// Access tokens live so long.
pub const ACCESS_TOKEN_SECONDS: i64 = 600;
/// Clocks may differ by so much.
const LEEWAY_SECONDS: u64 = 0;
/// A token is at most so long.
const TOKEN_BYTES_MAX: usize = 4096;

/// The claims of an access token, all required.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Audience.
    pub aud: String,
    /// The user.
    pub sub: UserId,
    /// The session.
    pub sid: SessionId,
    /// When it ends, seconds since 1970.
    pub exp: i64,
    /// When it was made, seconds since 1970.
    pub iat: i64,
    /// Names this token.
    pub jti: String,
}

struct KeyPair {
    kid: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// The keys, the newest of which signs.
pub struct Keys {
    pairs: Vec<KeyPair>,
    verified: RwLock<HashMap<String, Claims>>,
}

/// So many verified tokens are remembered; then all are forgotten.
const VERIFIED_MAX: usize = 10_000;

/// The secret of the key file.
pub struct Seal(XChaCha20Poly1305);

/// The key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("key file {path}: {reason}")]
pub struct KeyFileError {
    path: String,
    reason: String,
}

impl Seal {
    /// Reads the key file; makes it, readable by its owner alone, where it is not there.
    pub fn open(path: &Path) -> std::result::Result<Self, KeyFileError> {
        let failure = |reason: String| KeyFileError { path: path.display().to_string(), reason };
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = STANDARD.encode(rand::random::<[u8; 32]>());
                write_secret(path, &text).and_then(|()| std::fs::read_to_string(path))
            }
            read => read,
        }
        .map_err(|error| failure(error.to_string()))?;
        Self::of(&text).map_err(|reason| failure(reason.into()))
    }

    /// Reads the key file where it is there, and makes none.
    pub fn existing(path: &Path) -> std::result::Result<Option<Self>, KeyFileError> {
        let failure = |reason: String| KeyFileError { path: path.display().to_string(), reason };
        match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failure(error.to_string())),
            Ok(text) => Self::of(&text).map(Some).map_err(|reason| failure(reason.into())),
        }
    }

    fn of(text: &str) -> std::result::Result<Self, &'static str> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| "it is not base64")?;
        XChaCha20Poly1305::new_from_slice(&bytes).map(Self).map_err(|_| "it does not hold 32 bytes")
    }

    /// True where every signing key was sealed under this secret.
    pub fn fits(&self, rows: &[SigningKeyRow]) -> bool {
        rows.iter().all(|row| self.unseal(&row.kid, &row.sealed_private_key).is_some())
    }

    fn seal(&self, kid: &str, secret: &[u8]) -> Result<String> {
        let nonce = rand::random::<[u8; 24]>();
        let sealed = self
            .0
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: secret, aad: kid.as_bytes() })
            .map_err(|_| Error::Internal("a key could not be sealed".into()))?;
        Ok(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
    }

    fn unseal(&self, kid: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(24)?;
        self.0.decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: kid.as_bytes() }).ok()
    }
}

/// Writes the file whole or not at all; where another process was first, its file stays.
fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{:016x}", rand::random::<u64>()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&draft)?;
    let written =
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft)?;
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

impl Keys {
    /// Loads the keys; makes the first pair where there is none.
    pub fn load(database: &Database, seal: &Seal, now: Timestamp) -> Result<Self> {
        let rows = database.read_blocking::<_, Error>(|connection| Ok(identity::signing_keys(connection)?))?;
        if rows.is_empty() {
            let row = new_row(seal, now)?;
            database.write_blocking::<_, Error>(move |connection| {
                Ok(identity::insert_first_signing_key(connection, &row)?)
            })?;
            return Self::load(database, seal, now);
        }
        let pairs = rows.iter().map(|row| pair(row, seal)).collect::<Result<_>>()?;
        Ok(Self { pairs, verified: RwLock::default() })
    }

    /// Signs an access token.
    pub fn sign(&self, claims: &Claims) -> Result<String> {
        let pair = self.pairs.first().ok_or_else(|| Error::Internal("there is no signing key".into()))?;
        let header =
            Header { typ: Some(TOKEN_TYPE.into()), kid: Some(pair.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &pair.encoding).map_err(|error| Error::Internal(error.to_string()))
    }

    /// Signs a checkpoint of the audit, as a compact JWS.
    pub fn sign_checkpoint(&self, statement: &impl Serialize) -> Result<String> {
        let pair = self.pairs.first().ok_or_else(|| Error::Internal("there is no signing key".into()))?;
        let header =
            Header { typ: Some(CHECKPOINT_TYPE.into()), kid: Some(pair.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, statement, &pair.encoding).map_err(|error| Error::Internal(error.to_string()))
    }

    /// Verifies an access token: algorithm, type, key, signature and every claim (RFC 8725).
    pub fn verify(&self, token: &str, now: Timestamp) -> Option<Claims> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        // A signature that was good stays good; whether the token still lives is asked every time.
        let known = self.verified.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned();
        let claims = match known {
            Some(claims) => claims,
            None => {
                let claims = self.checked(token)?;
                let mut verified = self.verified.write().unwrap_or_else(PoisonError::into_inner);
                if verified.len() >= VERIFIED_MAX {
                    verified.clear();
                }
                verified.insert(token.to_owned(), claims.clone());
                claims
            }
        };
        let seconds = now.unix_seconds();
        (claims.exp > seconds && claims.iat <= seconds).then_some(claims)
    }

    /// The claims of a token whose algorithm, type, key, signature and every claim but the present are good.
    fn checked(&self, token: &str) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(TOKEN_TYPE) {
            return None;
        }
        let kid = header.kid?;
        let pair = self.pairs.iter().find(|pair| pair.kid == kid)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.validate_aud = !mutant("audience_unchecked");
        validation.leeway = LEEWAY_SECONDS;
        // The present comes from the service's own clock.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &pair.decoding, &validation).ok()?.claims;
        let short = claims.exp - claims.iat <= ACCESS_TOKEN_SECONDS && claims.iat <= claims.exp;
        let ours = claims.iss == ISSUER && (claims.aud == ISSUER || mutant("audience_unchecked"));
        (short && ours && !claims.jti.is_empty()).then_some(claims)
    }
}

/// What a checkpoint of the audit says, where one of the keys signed it. Needs no secret.
pub fn verified_checkpoint<T: serde::de::DeserializeOwned>(rows: &[SigningKeyRow], signed: &str) -> Option<T> {
    let header = jsonwebtoken::decode_header(signed).ok()?;
    if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(CHECKPOINT_TYPE) {
        return None;
    }
    let kid = header.kid?;
    let row = rows.iter().find(|row| row.kid == kid)?;
    let key = DecodingKey::from_ed_components(&row.public_key).ok()?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    // A checkpoint never ends, and is for everybody.
    validation.set_required_spec_claims::<&str>(&[]);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.set_issuer(&[ISSUER]);
    Some(jsonwebtoken::decode::<T>(signed, &key, &validation).ok()?.claims)
}

fn new_row(seal: &Seal, now: Timestamp) -> Result<SigningKeyRow> {
    let key = SigningKey::from_bytes(&rand::random::<[u8; 32]>());
    let public_key = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
    let kid = crate::repository::audit::digest(&[&public_key])[..16].to_owned();
    let sealed_private_key = seal.seal(&kid, key.as_bytes())?;
    Ok(SigningKeyRow { kid, public_key, sealed_private_key, created_at: now, retired_at: None })
}

fn pair(row: &SigningKeyRow, seal: &Seal) -> Result<KeyPair> {
    let secret = seal
        .unseal(&row.kid, &row.sealed_private_key)
        .and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok())
        .ok_or_else(|| {
            Error::Unusable(
                "the signing keys in the database are sealed under another key file; start with the key file that \
                 this database was first started with"
                    .into(),
            )
        })?;
    let unusable = |error: String| Error::Internal(format!("signing key {}: {error}", row.kid));
    let der = SigningKey::from_bytes(&secret).to_pkcs8_der().map_err(|error| unusable(error.to_string()))?;
    let decoding = DecodingKey::from_ed_components(&row.public_key).map_err(|error| unusable(error.to_string()))?;
    Ok(KeyPair { kid: row.kid.clone(), encoding: EncodingKey::from_ed_der(der.as_bytes()), decoding })
}
