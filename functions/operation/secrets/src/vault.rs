//! The one session with the Vault that an instance keeps.

use std::sync::{Arc, OnceLock};

use iam_core::config::{VaultAuth, VaultConfiguration};
use iam_service::{ApiError, Context};
use iam_vault::{Client, Login, Question, SecretText, Server, VaultError};

use crate::answer::{not_configured, refusal};
use crate::text::present;
use crate::{VAULT_JWT, VAULT_SECRET_ID, VAULT_TOKEN};

/// The client, made when it is first needed. An instance has one configuration for its life.
#[derive(Default)]
pub(crate) struct Vault {
    client: OnceLock<Arc<Client>>,
}

impl Vault {
    fn client(&self, configuration: &VaultConfiguration) -> Result<Arc<Client>, VaultError> {
        if let Some(client) = self.client.get() {
            return Ok(Arc::clone(client));
        }
        let server = Server::new(&configuration.address, configuration.namespace.as_deref())?;
        let made = Arc::new(Client::new(server, configuration.timeout));
        Ok(Arc::clone(self.client.get_or_init(|| made)))
    }

    /// Asks, logged in.
    pub(crate) async fn ask<T>(&self, context: &Context, question: &Question<T>) -> Result<T, VaultError> {
        let (client, login) = self.ready(context).await?;
        client.ask(&context.host, &login, question).await
    }

    async fn ready(&self, context: &Context) -> Result<(Arc<Client>, Login), VaultError> {
        let configuration =
            configuration(context).ok_or(VaultError::Invalid("secrets.vault in the configuration"))?;
        Ok((self.client(configuration)?, login(context, configuration).await?))
    }

    /// Asks what needs no token.
    pub(crate) async fn ask_openly<T>(
        &self,
        context: &Context,
        question: &Question<T>,
    ) -> Result<T, VaultError> {
        let configuration =
            configuration(context).ok_or(VaultError::Invalid("secrets.vault in the configuration"))?;
        self.client(configuration)?.ask_openly(&context.host, question).await
    }

    /// Asks, for whoever called.
    pub(crate) async fn answer<T>(
        &self,
        context: &Context,
        question: Result<Question<T>, VaultError>,
    ) -> Result<T, ApiError> {
        let question = question.map_err(refusal)?;
        self.ask(context, &question).await.map_err(refusal)
    }
}

pub(crate) fn configuration(context: &Context) -> Option<&VaultConfiguration> {
    context.configuration().secrets.vault.as_ref()
}

pub(crate) fn configured(context: &Context) -> Result<&VaultConfiguration, ApiError> {
    configuration(context).ok_or_else(not_configured)
}

/// The credential is read each time: it may have been replaced.
async fn login(context: &Context, vault: &VaultConfiguration) -> Result<Login, VaultError> {
    let mount = vault.auth_mount().to_owned();
    Ok(match vault.auth {
        VaultAuth::Token => Login::Token(credential(context, VAULT_TOKEN).await?),
        VaultAuth::AppRole => Login::AppRole {
            mount,
            role_id: vault.role_id.clone().unwrap_or_default(),
            secret_id: credential(context, VAULT_SECRET_ID).await?,
        },
        VaultAuth::Kubernetes => Login::Kubernetes {
            mount,
            role: vault.role.clone().unwrap_or_default(),
            jwt: credential(context, VAULT_JWT).await?,
        },
    })
}

async fn credential(context: &Context, name: &'static str) -> Result<SecretText, VaultError> {
    let secret = context.host.secret(name).await.ok().flatten();
    secret.and_then(|secret| present(secret.expose())).ok_or(VaultError::NoCredential(name))
}
