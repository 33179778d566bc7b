//! Access tokens of every algorithm that a host signs with.

use serde_json::{Value, json};

use crate::Deployment;
use crate::scenarios::configuration;

/// The usual configuration with another algorithm.
#[must_use]
pub fn configuration_with(algorithm: &str) -> Value {
    let mut configuration = configuration();
    configuration["jwt"]["algorithm"] = json!(algorithm);
    configuration
}

/// Tokens name the algorithm and open the profile; a changed signature does not.
pub async fn signs_with(deployment: &Deployment, algorithm: &str) {
    let setup = &deployment.setup;
    let login = deployment.client().login(&setup.username, &setup.password).await.expect(200);
    let token = login.text_at("/access_token");
    let header = iam_core::encoding::from_base64url(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["alg"], algorithm);
    assert_eq!(header["typ"], "at+jwt");
    deployment.client().with(token).get("/api/v1/auth/me").await.expect(200);
    let (input, signature) = token.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{input}.{flipped}{}", signature.get(1..).unwrap());
    deployment.client().with(&forged).get("/api/v1/auth/me").await.expect_problem(401, "invalid_token");
}

/// A host that does not sign RS256 in constant time says so instead of signing.
pub async fn refuses_rs256(deployment: &Deployment) {
    let answer = deployment.client().get("/health").await.expect(500);
    assert_eq!(answer.text_at("/code"), "configuration_invalid");
}
