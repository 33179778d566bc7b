//! Signing keys.

use serde_json::json;

use crate::{Answer, Deployment};

const PATH: &str = "/api/v1/keyring";
const ROTATE: &str = "/api/v1/keyring/rotate";
const JOB: &str = "/internal/scheduled/keyring-rotation";

/// The `kid` of an access token.
pub fn key_of(token: &str) -> String {
    let header = iam_core::encoding::from_base64url(token.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

/// The phases of all keys, youngest first.
pub fn phases(keyring: &Answer) -> Vec<&str> {
    let keys = keyring.json["keys"].as_array().unwrap();
    keys.iter().map(|key| key["phase"].as_str().unwrap()).collect()
}

/// Keys are for those who may see and change them, and nobody sees a private half.
pub async fn is_for_those_who_may(deployment: &Deployment) {
    deployment.client().get(PATH).await.expect_problem(401, "credential_missing");
    deployment.client().post(ROTATE, &json!({})).await.expect_problem(401, "credential_missing");
    deployment.client().post(JOB, &json!({})).await.expect_problem(401, "invalid_token");
    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let nobody = deployment.client().with(login.text_at("/access_token"));
    nobody.get(PATH).await.expect_problem(403, "permission_denied");
    nobody.post(ROTATE, &json!({"emergency": true})).await.expect_problem(403, "permission_denied");
    let administrator = deployment.administrator().await;
    let keyring = administrator.get(PATH).await.expect(200);
    assert_eq!(keyring.json["previous_master_key"], "absent");
    assert!(phases(&keyring).contains(&"signing") && !keyring.text.contains("v1."), "{}", keyring.text);
    let long = json!({"reason": "r".repeat(257)});
    administrator.post(ROTATE, &long).await.expect_problem(422, "invalid_field");
    administrator.post(ROTATE, &json!({"at_once": true})).await.expect_problem(422, "invalid_field");
}

/// A rotation by hand announces one successor, however many ask for it; until that signs, the key before it
/// does.
pub async fn of_many_rotations_one_waits(deployment: &Deployment) {
    let administrator = deployment.administrator().await;
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let client = administrator.clone();
        requests.spawn(async move { client.post(ROTATE, &json!({"reason": "a test"})).await });
    }
    let (announced, refused): (Vec<_>, Vec<_>) =
        requests.join_all().await.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(announced.len(), 1);
    for answer in refused {
        let answer = answer.expect_problem(409, "rotation_pending");
        assert!(answer.text_at("/detail").contains(announced[0].text_at("/signs_from")));
    }
    let new_key = announced[0].text_at("/key_id");
    assert_eq!(deployment.recorded("signing_key.rotate", "success", new_key), 1);
    // The schedule has nothing to do, however often it comes.
    for _ in 0..2 {
        deployment.internal().post(JOB, &json!({})).await.expect(204);
    }
    let keyring = administrator.get(PATH).await.expect(200);
    assert_eq!(phases(&keyring), ["announced", "signing"]);
    assert_eq!(keyring.text_at("/keys/0/key_id"), new_key);
    assert_eq!(keyring.text_at("/keys/1/signs_until"), keyring.text_at("/keys/0/signs_from"));
    assert_eq!(keyring.json["keys"][0]["sealed_under_current_master"], true);
    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    assert_eq!(key_of(login.text_at("/access_token")), keyring.text_at("/keys/1/key_id"));
}
