//! Every error code, once: the statuses it comes with, what it means and what to do. Native only, for the
//! reference; a test holds it against the sources.

use serde::Serialize;

/// An error code.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Code {
    /// The stable word.
    pub code: &'static str,
    /// The HTTP statuses it comes with.
    pub statuses: &'static [u16],
    /// What it means, and what to do.
    pub meaning: &'static str,
}

macro_rules! codes {
    ($($room:literal { $($code:literal $($status:literal)+: $meaning:literal;)+ })+) => {
        /// Every code, by the room that answers with it; what any room may answer with comes first.
        pub const ROOMS: &[(&str, &[Code])] = &[
            $(($room, &[$(Code { code: $code, statuses: &[$($status),+], meaning: $meaning }),+])),+
        ];
    };
}

codes! {
    "any request" {
        "address_not_allowed" 403:
            "The API key, or the webhook's service, may not be used from this address: send from \
            one that is allowed.";
        "ambiguous_cookie" 400: "Several session cookies came: send one.";
        "body_empty" 400: "A JSON body is needed.";
        "body_too_large" 413: "The body is larger than is taken here: send less.";
        "body_unreadable" 400: "The body broke off or can't be read: send it again.";
        "configuration_invalid" 500: "The deployment's configuration is refused: its log names the field.";
        "credential_missing" 401:
            "No credential came: send an access token, an API key or the session cookie.";
        "cross_site_request" 403:
            "The session cookie came from another site: allow it (`cors.allowed_origins`), or send a token.";
        "database_busy" 503: "The database is busy: send it again after `Retry-After`.";
        "headers_too_large" 431: "The headers are too large together: send fewer.";
        "idempotency_key_reused" 422:
            "This `Idempotency-Key` came before with another request: take a new one.";
        "internal" 500: "Something failed on our side: the log has the cause under the request's id.";
        "invalid_field" 422: "A field is refused: `errors` names it and what is allowed.";
        "invalid_idempotency_key" 400:
            "The `Idempotency-Key` is malformed: send 1 to 128 visible characters.";
        "invalid_query" 400:
            "A query parameter is unknown or refused: `detail` says which and what is allowed.";
        "invalid_token" 401: "The token, key or session is unknown, expired or revoked: sign in again.";
        "json_too_deep" 400: "The JSON is nested too deeply.";
        "maintenance" 503: "The product is closed for maintenance: come back after `Retry-After`.";
        "malformed_json" 400: "The body is not JSON: `detail` says where.";
        "method_not_allowed" 405: "The resource does not take this method.";
        "not_found" 404: "It is not there, or not for this caller's eyes.";
        "permission_denied" 403: "The caller may not do this: `detail` names what is needed.";
        "rate_limited" 429: "Too many requests: send it again after `Retry-After`.";
        "secrets_unavailable" 503: "A secret can't be fetched from its store now: send it again later.";
        "too_many_attempts" 429: "Too many failed attempts: try again after `Retry-After`.";
        "two_credentials" 400: "Two credentials came: send one.";
        "unsupported_media_type" 415: "The body has another `Content-Type` than is taken here.";
        "uri_too_long" 414: "Path and query are too long together.";
        "version_conflict" 409: "Somebody changed it at the same moment: read it and send the change again.";
    }
    "sign-in" {
        "invalid_credential" 401:
            "The emergency credential is unknown, expired or used, or not for this user.";
        "invalid_credentials" 401: "The user name or the password is wrong.";
        "invalid_refresh_token" 401: "The refresh token is unknown, expired or spent: sign in again.";
        "invalid_reset_token" 401: "The reset token is unknown, expired or spent: ask for a new one.";
        "no_address" 409: "The user has no e-mail address to send to: set one first.";
        "no_notification_endpoint" 409: "Messages can't be sent: configure `notification.endpoint`.";
        "no_password" 409: "The caller has no password; it signs in another way.";
        "no_session" 400: "An API key has no session to end.";
        "password_changed_meanwhile" 409: "Another request changed the password first.";
        "password_expired" 403: "The password is right, but too old: set a new one with `reset_token`.";
        "password_not_migrated" 409:
            "The password is still kept as another software kept it: sign in with it once.";
        "password_refused" 422: "The password does not meet the policy: `errors` says what is missing.";
        "wrong_password" 422: "The current password is wrong.";
    }
    "oauth" {
        "grants_not_held" 403: "The service account's roles grant what the caller does not hold.";
        "host_missing" 400: "The request names no sane host: send `Host`, or configure `public_url`.";
        "invalid_client" 401: "The client is unknown, or its credential does not hold.";
        "invalid_grant" 400: "The refresh token is unknown, expired or spent, or a client sent it.";
        "invalid_request" 400:
            "A parameter is missing, repeated or malformed: `error_description` says which.";
        "invalid_scope" 400: "The scope is malformed, or more than the client may have.";
        "last_secret" 409:
            "It is the client's last valid secret: create another first, or revoke the client.";
        "no_secrets" 409: "The client proves itself by assertions, not by secrets.";
        "roles_changed" 409: "A role was changed while it was assigned: try again.";
        "rotated_meanwhile" 409:
            "Another rotation of signing keys came first: look at the keys and try again.";
        "rotation_pending" 409: "A successor waits already: `detail` says until when, or which step goes on.";
        "too_many_clients" 409: "There are as many clients as may be: revoke one first.";
        "too_many_secrets" 409: "The client has as many valid secrets as may be: revoke one first.";
        "unauthorized_client" 400: "The token was not issued to this client.";
        "unsupported_grant_type" 400: "`grant_type` is neither `client_credentials` nor `refresh_token`.";
    }
    "keys" {
        "invalid_signature" 401: "The report of leaked keys is not signed by a published key.";
        "key_already_rotated" 409: "The key was replaced already: use its successor.";
        "key_changed" 409: "The key was changed at the same time: look at it and try again.";
        "key_expired" 409: "An expired key can't be rotated: create a new one.";
        "key_not_delivered" 409: "The key is itself on its way to its owner, in the place of another: wait.";
        "key_revoked" 409: "The key was revoked: it can't be changed or rotated.";
        "keys_unavailable" 503: "The keys that sign reports can't be fetched now: send the report again.";
        "too_many_keys" 409: "There are as many active keys as may be: revoke one, or wait until one ends.";
    }
    "directory" {
        "administrator_role" 409: "The administrators' role stays, and keeps its grant `*`.";
        "changed_meanwhile" 409: "The role, or one it inherits from, has just changed: look again.";
        "given_by_group" 409: "A group gives the user this role: take the user out of the group.";
        "grant_not_held" 403: "The role would grant what the caller does not hold: nobody gives that away.";
        "group_exists" 409: "There is a group of that name.";
        "last_administrator" 409: "The user is the last active administrator: make another one first.";
        "managed_by_scim" 409: "An identity provider manages this over SCIM: change it there.";
        "not_a_person" 409: "A service account is changed where service accounts are.";
        "precondition_failed" 412: "The resource is in another version than `If-Match` says: read it again.";
        "role_cycle" 409: "The role would inherit from itself, directly or not.";
        "role_exists" 409: "There is a role of that name.";
        "role_in_use" 409: "Users have the role: take it from them first, or send `force=true`.";
        "role_inherited" 409: "Other roles inherit from the role: change those first.";
        "role_too_large" 409: "The role would grant too much with what it inherits: split it.";
        "too_many_lines" 400: "The import is too much for one request: send fewer lines.";
        "too_many_roles" 409: "There are as many roles as may be: delete or take one first.";
        "username_taken" 409: "Somebody has this user name: take another one.";
        "version_mismatch" 412: "The group is in another version than `If-Match` says: read it again.";
    }
    "provisioning" {
        "attribute_not_editable" 403: "People may not change this attribute of themselves.";
        "change_loop" 429: "The very same change was made too often: another system undoes it each time.";
        "filter_not_offered" 403: "This resource takes no filter (RFC 7644 section 4).";
        "invalidCursor" 400: "The cursor is none of ours, or of another question: begin again without one.";
        "invalidFilter" 400: "The filter is malformed, or asks for what is not offered.";
        "invalidPath" 400: "The path is malformed, or names no attribute.";
        "invalidSyntax" 400: "The message does not have the shape of its schema.";
        "invalidValue" 400: "A value does not fit its attribute.";
        "last_token" 409: "It is the client's last valid token: create another first, or revoke the client.";
        "mutability" 400: "A read-only or immutable attribute would change.";
        "noTarget" 400: "The path leads to nothing that could change.";
        "not_offered" 501: "`/Me` can be read and changed, not made or deleted.";
        "tooMany" 400: "The filter would look at too many resources: ask for less.";
        "too_many_operations" 413: "The bulk request has too many operations: split it.";
        "too_many_tokens" 409: "The client has as many valid tokens as may be: revoke one first.";
        "uniqueness" 409: "A value that must be unique is taken.";
    }
    "webhooks" {
        "duplicate" 409: "A message of this id was taken before: the sender need not repeat it.";
        "header_twice" 400: "A header that counts came twice.";
        "id_missing" 401: "The message's id is missing or too long.";
        "not_queued" 409: "The delivery does not wait to be fetched.";
        "replayed" 409: "This very message was taken before.";
        "service_not_ready" 503:
            "The service lacks a secret, or its target can't be called: the log says which.";
        "signature_malformed" 401: "The signature can't be read.";
        "signature_missing" 401: "The signature, or the token, is missing.";
        "signature_wrong" 401: "The signature is wrong: compare the secret at both ends.";
        "timestamp_ahead" 401: "The signature is from the future: compare the clocks.";
        "timestamp_malformed" 401: "The moment of the signature can't be read.";
        "timestamp_missing" 401: "The moment of the signature is missing.";
        "timestamp_stale" 401: "The signature is too old: sign anew, and compare the clocks.";
    }
    "operation" {
        "flags_changed_meanwhile" 409: "Others change the switches at once: try again.";
        "function_unreachable" 502: "The function behind the gateway did not answer: try again.";
        "malformed_batch" 400: "It is no telemetry batch.";
        "no_collector" 503: "No collector is configured: set `monitoring.otlp_endpoint`.";
        "not_in_vault" 409: "The master key does not come from the Vault: it is rotated where it comes from.";
        "not_sealed" 409: "The Vault's transit engine does not keep this secret sealed.";
        "nothing_announced" 409: "There is one master key: begin with `announce`.";
        "previous_is_no_key" 409:
            "The previous master key in the Vault is none, or does not open: look at it there.";
        "still_needed" 409:
            "Something stored opens under the previous master key alone: the job `reseal` seals it anew.";
        "too_early" 409: "Instances may not have seen the step before: `detail` says when they have.";
        "vault_denied" 403: "The Vault's policies do not allow this.";
        "vault_refused" 422: "The Vault takes this for a bad request, or has nothing there.";
        "vault_unavailable" 503: "The Vault does not answer now: try again later.";
    }
}
