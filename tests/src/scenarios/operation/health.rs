//! Health.

use crate::Deployment;

/// Liveness and readiness, for anybody.
pub async fn tells(deployment: &Deployment) {
    let client = deployment.client();
    let health = client.get("/health").await.expect(200);
    assert_eq!(health.json["status"], "healthy");
    assert_eq!(health.json["version"], env!("CARGO_PKG_VERSION"));
    assert!(health.text_at("/timestamp").ends_with('Z') && health.json["uptime_seconds"].is_u64());
    let ready = client.get("/ready").await.expect(200);
    assert_eq!(ready.json["dependencies"]["database"]["status"], "healthy");
}

/// The parts, for those who may see them.
pub async fn details_need_a_permission(deployment: &Deployment) {
    deployment.client().get("/health/detailed").await.expect_problem(401, "credential_missing");
    let detailed = deployment.administrator().await.get("/health/detailed").await.expect(200);
    assert_eq!(detailed.json["status"], "healthy");
    for part in ["database", "key_value"] {
        assert_eq!(detailed.json["components"][part]["status"], "healthy");
        assert!(detailed.json["components"][part]["latency_ms"].is_u64());
    }
    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let nobody = deployment.client().with(login.text_at("/access_token"));
    nobody.get("/health/detailed").await.expect_problem(403, "permission_denied");
}
