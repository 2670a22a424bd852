/// The family of an act. The `RawEventData` of all acts of a family has the same shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::generate) enum Family {
    File,
    MailAccess,
    MailSend,
    MailAdmin,
    SignIn,
    Teams,
    DlpMatch,
    Signal,
    Investigation,
}

/// The values that are the same in all records of an act.
#[derive(Clone, Copy)]
pub(in crate::generate) struct Facts {
    pub(super) action: &'static str,
    pub(in crate::generate) family: Family,
    pub(super) application: &'static str,
    pub(super) application_id: u64,
    pub(super) workload: &'static str,
    pub(super) record_type: u64,
    pub(super) activity_type: &'static str,
    pub(super) object_type: &'static str,
}

type Application = (&'static str, u64);

const M365: Application = ("Microsoft 365", 11_161);
const SHAREPOINT: Application = ("Microsoft SharePoint Online", 20_892);
const EXCHANGE: Application = ("Microsoft Exchange Online", 20_893);
const TEAMS: Application = ("Microsoft Teams", 28_375);

macro_rules! acts {
    ($($doc:literal $act:ident $action:literal $family:ident $application:ident $workload:literal $record_type:literal
        $activity_type:literal $object_type:literal;)*) => {
        /// The act of a user: the `ActionType` of an activity, which determines the shape of its `RawEventData`.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Act {
            $(#[doc = $doc] $act,)*
        }

        impl Act {
            pub(in crate::generate) fn facts(self) -> Facts {
                match self {
                    $(Self::$act => Facts {
                        action: $action,
                        family: Family::$family,
                        application: $application.0,
                        application_id: $application.1,
                        workload: $workload,
                        record_type: $record_type,
                        activity_type: $activity_type,
                        object_type: $object_type,
                    },)*
                }
            }

            /// Returns the act that an alert policy watches, given the policy's name for it.
            pub fn watched(operation: &str) -> Self {
                match operation {
                    $($action => Self::$act,)*
                    _ => Self::FileDownloaded,
                }
            }
        }
    };
}

acts! {
    "A file was opened." FileAccessed "FileAccessed" File SHAREPOINT "SharePoint" 6 "View" "File";
    "A file was changed." FileModified "FileModified" File SHAREPOINT "SharePoint" 6 "Edit" "File";
    "A file was downloaded." FileDownloaded "FileDownloaded" File SHAREPOINT "SharePoint" 6 "Download" "File";
    "A file was uploaded." FileUploaded "FileUploaded" File SHAREPOINT "SharePoint" 6 "Upload" "File";
    "A file was deleted." FileDeleted "FileDeleted" File SHAREPOINT "SharePoint" 6 "Delete" "File";
    "A file was downloaded to a computer that synchronizes files."
        FileSyncDownloadedFull "FileSyncDownloadedFull" File SHAREPOINT "SharePoint" 6 "Download" "File";
    "The sensitivity label of a file was removed."
        FileSensitivityLabelRemoved "FileSensitivityLabelRemoved" File SHAREPOINT "SharePoint" 83 "Edit" "File";
    "A file was shared with a person." SharingSet "SharingSet" File SHAREPOINT "SharePoint" 14 "Share" "File";
    "A link that anyone can use was created."
        AnonymousLinkCreated "AnonymousLinkCreated" File SHAREPOINT "SharePoint" 14 "Share" "File";
    "Mail was read." MailItemsAccessed "MailItemsAccessed" MailAccess EXCHANGE "Exchange" 50 "Run" "Task";
    "Mail was sent." Send "Send" MailSend EXCHANGE "Exchange" 2 "Send" "Email";
    "An inbox rule was created." NewInboxRule "New-InboxRule" MailAdmin EXCHANGE "Exchange" 1 "Create" "Rule";
    "A mailbox was configured." SetMailbox "Set-Mailbox" MailAdmin EXCHANGE "Exchange" 1 "Edit" "Mailbox";
    "Somebody received the right to open a mailbox."
        AddMailboxPermission "Add-MailboxPermission" MailAdmin EXCHANGE "Exchange" 1 "Edit" "Mailbox";
    "Somebody signed in." UserLoggedIn "UserLoggedIn" SignIn M365 "AzureActiveDirectory" 15 "Logon" "Account";
    "A chat message was sent." MessageSent "MessageSent" Teams TEAMS "MicrosoftTeams" 25 "Send" "Message";
    "A chat message was read."
        MessageReadReceiptReceived "MessageReadReceiptReceived" Teams TEAMS "MicrosoftTeams" 25 "Basic" "Message";
    "A meeting was joined."
        MeetingParticipantDetail "MeetingParticipantDetail" Teams TEAMS "MicrosoftTeams" 25 "Basic" "Meeting";
    "A rule of a data loss prevention policy matched a file or a message."
        DlpRuleMatch "DLPRuleMatch" DlpMatch M365 "SharePoint" 11 "Basic" "File";
    "The same in another spelling, which occurs too."
        RespelledDlpRuleMatch "DlpRuleMatch" DlpMatch M365 "SharePoint" 11 "Basic" "File";
    "A new alert, as the audit log records it."
        AlertTriggered "AlertTriggered" Signal M365 "SecurityComplianceCenter" 40 "Run" "Alert";
    "One entity of an alert, as the audit log records it."
        AlertEntityGenerated "AlertEntityGenerated" Signal M365 "SecurityComplianceCenter" 40 "Run" "Alert";
    "A change of an alert, as the audit log records it."
        AlertUpdated "AlertUpdated" Signal M365 "SecurityComplianceCenter" 40 "Edit" "Alert";
    "An automated investigation. `Data` holds a whole alert in another form."
        AirInvestigation "AirInvestigationData" Investigation M365 "AirInvestigation" 64 "Run" "Task";
}

impl Act {
    /// Returns whether the act concerns a file.
    pub fn is_on_file(self) -> bool {
        self.facts().family == Family::File
    }
}
