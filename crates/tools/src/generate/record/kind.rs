/// The kind of an activity: its `ActionType`, which determines the shape of its `RawEventData`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A new alert, as the audit repartition records it. `Data` holds the alert's details.
    AlertTriggered,
    /// One entity of an alert, as the audit repartition records it.
    AlertEntityGenerated,
    /// A change of an alert, as the audit repartition records it.
    AlertUpdated,
    /// A rule of a data loss prevention policy matched.
    DlpRuleMatch,
    /// An automated investigation. `Data` holds a whole alert in another form.
    AirInvestigation,
    /// A file was opened.
    FileAccessed,
    /// A file was downloaded.
    FileDownloaded,
    /// A file was uploaded.
    FileUploaded,
    /// A link that anyone can use was created.
    AnonymousLinkCreated,
    /// Mail was read.
    MailItemsAccessed,
    /// Mail was sent.
    Send,
    /// A chat message was read.
    MessageReadReceiptReceived,
    /// A chat message was sent.
    MessageSent,
    /// Somebody signed in.
    UserLoggedIn,
}

/// The family of a kind. The `RawEventData` of all kinds of a family has the same shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    Signal,
    DlpMatch,
    Investigation,
    File,
    MailAccess,
    MailSend,
    Chat,
    SignIn,
}

/// The values that are the same in all records of a kind, which belongs to family `F`.
pub(in crate::generate) struct Facts<F> {
    pub(in crate::generate) action: &'static str,
    pub(in crate::generate) family: F,
    pub(in crate::generate) application: &'static str,
    pub(in crate::generate) application_id: u64,
    pub(in crate::generate) workload: &'static str,
    pub(in crate::generate) record_type: u64,
    pub(in crate::generate) activity_type: &'static str,
    pub(in crate::generate) object_type: &'static str,
}

type Application = (&'static str, u64);

impl<F> Facts<F> {
    /// Creates the facts from the fields in their order.
    pub(in crate::generate) fn of(
        (action, family, application, workload, record_type, activity_type, object_type): (
            &'static str,
            F,
            Application,
            &'static str,
            u64,
            &'static str,
            &'static str,
        ),
    ) -> Self {
        Self {
            action,
            family,
            application: application.0,
            application_id: application.1,
            workload,
            record_type,
            activity_type,
            object_type,
        }
    }
}

/// The name and the number of an application.
pub(in crate::generate) const M365: Application = ("Microsoft 365", 11_161);
pub(in crate::generate) const SHAREPOINT: Application = ("Microsoft SharePoint Online", 20_892);
pub(in crate::generate) const EXCHANGE: Application = ("Microsoft Exchange Online", 20_893);
pub(in crate::generate) const TEAMS: Application = ("Microsoft Teams", 28_375);
/// The workload of records about alerts.
pub(in crate::generate) const COMPLIANCE: &str = "SecurityComplianceCenter";

impl Kind {
    /// Returns whether the vendor's alerting writes the record, as opposed to a record of what a user did.
    pub fn is_alert_signal(self) -> bool {
        matches!(self.facts().family, Family::Signal | Family::DlpMatch | Family::Investigation)
    }

    pub(super) fn facts(self) -> Facts<Family> {
        use Family::{Chat, DlpMatch, File, Investigation, MailAccess, MailSend, SignIn, Signal};
        Facts::of(match self {
            Self::AlertTriggered => ("AlertTriggered", Signal, M365, COMPLIANCE, 40, "Run", "Alert"),
            Self::AlertEntityGenerated => ("AlertEntityGenerated", Signal, M365, COMPLIANCE, 40, "Run", "Alert"),
            Self::AlertUpdated => ("AlertUpdated", Signal, M365, COMPLIANCE, 40, "Edit", "Alert"),
            Self::DlpRuleMatch => ("DLPRuleMatch", DlpMatch, M365, "SharePoint", 11, "Basic", "File"),
            Self::AirInvestigation => (
                "AirInvestigationData",
                Investigation,
                M365,
                "AirInvestigation",
                64,
                "Run",
                "Task",
            ),
            Self::FileAccessed => ("FileAccessed", File, SHAREPOINT, "SharePoint", 6, "View", "File"),
            Self::FileDownloaded => ("FileDownloaded", File, SHAREPOINT, "SharePoint", 6, "Download", "File"),
            Self::FileUploaded => ("FileUploaded", File, SHAREPOINT, "OneDrive", 6, "Upload", "File"),
            Self::AnonymousLinkCreated => ("AnonymousLinkCreated", File, SHAREPOINT, "SharePoint", 14, "Share", "File"),
            Self::MailItemsAccessed => ("MailItemsAccessed", MailAccess, EXCHANGE, "Exchange", 50, "Run", "Task"),
            Self::Send => ("Send", MailSend, EXCHANGE, "Exchange", 2, "Send", "Email"),
            Self::MessageReadReceiptReceived => (
                "MessageReadReceiptReceived",
                Chat,
                TEAMS,
                "MicrosoftTeams",
                25,
                "Basic",
                "Message",
            ),
            Self::MessageSent => ("MessageSent", Chat, TEAMS, "MicrosoftTeams", 25, "Send", "Message"),
            Self::UserLoggedIn => ("UserLoggedIn", SignIn, M365, "AzureActiveDirectory", 15, "Logon", "Account"),
        })
    }
}
