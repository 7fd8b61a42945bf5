//! `latchgate init`: a folder from which `serve` can start.

mod example;
mod files;
mod template;

use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

pub(super) use self::files::Files;
use super::{
    error::{Failure, note},
    open, output, secrets,
};
use crate::{
    config::Config,
    control::service::{Caller, Control, NewOrg, NewTeam, NewUser, ServiceError},
    domain::profile::Profile,
};

/// Write a configuration, a secret and a store to start from
#[derive(Debug, Args)]
#[command(
    after_help = "Writes DIR/latchgate.toml, DIR/secret.key and DIR/latchgate.db (or, with --state, that one there) with an organization, a team \
where the profile has teams (both with the slug `default`) and an administrator. \
Never overwrites anything.

Examples:
  latchgate init --dir gate --upstream http://127.0.0.1:9000
  latchgate init --dir gate --profile cortex --admin-email ana@example.com
  latchgate init --dir /etc/latchgate --state /var/lib/latchgate
  printf %s \"$PASSWORD\" | latchgate init --dir gate --admin-password-stdin"
)]
pub(crate) struct Init {
    /// The folder; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Another folder for what changes while the gateway runs: the store, and mails until a server is named
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The platform's rules: offload, cortex, trustedoss, reducto, or the path of a profile file
    #[arg(long, value_name = "NAME", default_value = "offload")]
    profile: String,
    /// The administrator's e-mail address
    #[arg(long, value_name = "EMAIL", default_value = "admin@localhost")]
    admin_email: String,
    /// The backend that requests are passed to
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9000")]
    upstream: String,
    /// Read the administrator's password from stdin; without it a terminal is asked, and elsewhere there is none
    #[arg(long)]
    admin_password_stdin: bool,
}

/// The slug of the first organization and its first team.
const FIRST: &str = "default";

impl Init {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let state = self.state_folder()?;
        let files = Files::in_dirs(&self.dir, state.as_deref().map_or(&self.dir, Path::new))?;
        let template = template::fill(&self.profile, &self.upstream, state.as_deref(), &files.config())?;
        let password = self.password()?;
        let files = files.create()?;
        open::block_on(async {
            let control = open::create(&template.config).await?;
            populate(&control, &template.config.profile, &self.admin_email, password).await?;
            control.store().close().await;
            Ok(())
        })?;
        let config = files.finish(&template.text)?;
        self.tell(&config.display().to_string(), &template.config)
    }

    /// As the configuration, which is another folder's, has to name it.
    fn state_folder(&self) -> Result<Option<String>, Failure> {
        let Some(state) = &self.state else { return Ok(None) };
        let absolute = std::path::absolute(state).ok().and_then(|path| path.to_str().map(str::to_owned));
        absolute.map(Some).ok_or_else(|| {
            Failure::usage(
                format_args!("--state {} is no path that a configuration can hold", state.display()),
                "for example --state /var/lib/latchgate",
            )
        })
    }

    fn password(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        if self.admin_password_stdin {
            return secrets::line_of_stdin("the administrator's password", "--admin-password-stdin")
                .map(Some);
        }
        if secrets::can_ask() {
            return secrets::ask_new_password(&self.admin_email);
        }
        note(format_args!("{} gets no password; give one with --admin-password-stdin", self.admin_email));
        Ok(None)
    }

    fn tell(&self, config: &str, loaded: &Config) -> Result<(), Failure> {
        let Self { dir, admin_email, upstream, .. } = self;
        let (dir, gateway) = (dir.display(), loaded.listen.gateway);
        let store = self.state.as_ref().unwrap_or(&self.dir).display();
        let profile = &loaded.profile;
        let role = &profile.roles.highest().name;
        let team = if profile.has_teams() { ", team `default`" } else { "" };
        let issue = example::of_key(profile, admin_email, config);
        output::bytes(
            format!(
                "Wrote {config}  one route: every path to {upstream}, for any valid key\n\
                 Wrote {dir}/secret.key  keep it apart from backups of the store\n\
                 Wrote {store}/latchgate.db  organization `default`{team}, administrator {admin_email} ({role})\n\
                 \n\
                 Next:\n  \
                   latchgate check --config {config} --online\n  \
                   KEY=$({issue})\n  \
                   latchgate serve --config {config} > access.log &\n  \
                   curl -i -H \"X-API-Key: $KEY\" http://{gateway}/\n"
            )
            .as_bytes(),
        )
    }
}

/// An organization, a team where the profile has teams, and an administrator with the profile's highest role.
pub(super) async fn populate(
    control: &Control,
    profile: &Profile,
    email: &str,
    password: Option<Zeroizing<String>>,
) -> Result<(), Failure> {
    let slug = || Some(FIRST.to_owned());
    let operator = Caller::Operator;
    control.create_org(&operator, &NewOrg { name: "Default".to_owned(), slug: slug() }).await?;
    if profile.has_teams() {
        let team = NewTeam { org: slug(), name: "Default".to_owned(), slug: slug() };
        control.create_team(&operator, &team).await?;
    }
    let administrator = NewUser {
        org: slug(),
        email: email.to_owned(),
        name: "Administrator".to_owned(),
        password: password.map(|password| password.to_string()),
        team_id: profile.has_teams().then(|| FIRST.to_owned()),
        role: Some(profile.roles.highest().name.to_string()),
    };
    control.create_user(&operator, &administrator).await.map_err(told_as_init)?;
    Ok(())
}

/// The fields of the person are flags of another name here.
fn told_as_init(error: ServiceError) -> Failure {
    match error {
        ServiceError::InvalidField(fields) => {
            let said: Vec<_> =
                fields.iter().map(|field| format!("--admin-{}: {}", field.field, field.message)).collect();
            Failure::usage(said.join("; "), "nothing was written; correct it and run init again")
        }
        other => other.into(),
    }
}
