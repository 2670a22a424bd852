// The tables that the documents query, with the columns and types of Microsoft's table reference
// (learn.microsoft.com/azure/azure-monitor/reference/tables/cloudappevents and …/securityalert).

/** With `Timestamp` of advanced hunting beside `TimeGenerated` of a workspace: the documents have queries for both. */
export const CloudAppEvents = `
  TenantId: string, TimeGenerated: datetime, Timestamp: datetime, ActionType: string, Application: string, ApplicationId: int,
  AppInstanceId: int, AccountObjectId: string, AccountId: string, AccountDisplayName: string, AccountType: string,
  IsAdminOperation: bool, IsExternalUser: bool, IsImpersonated: bool, DeviceType: string, OSPlatform: string, IPAddress: string,
  IPCategory: string, IPTags: dynamic, IsAnonymousProxy: bool, CountryCode: string, City: string, ISP: string, UserAgent: string,
  UserAgentTags: dynamic, ActivityType: string, ActivityObjects: dynamic, ObjectName: string, ObjectType: string, ObjectId: string,
  ReportId: string, RawEventData: dynamic, AdditionalFields: dynamic, LastSeenForUser: dynamic, UncommonForUser: dynamic,
  AuditSource: string, SessionData: dynamic, OAuthAppId: string, SourceSystem: string, Type: string`;

export const SecurityAlert = `
  TenantId: string, TimeGenerated: datetime, SystemAlertId: string, VendorOriginalId: string, AlertType: string, AlertName: string,
  DisplayName: string, AlertSeverity: string, Description: string, ProviderName: string, ProductName: string,
  ProductComponentName: string, VendorName: string, StartTime: datetime, EndTime: datetime, ProcessingEndTime: datetime,
  Status: string, CompromisedEntity: string, ConfidenceLevel: string, ConfidenceScore: real, Entities: string,
  ExtendedProperties: string, ExtendedLinks: string, RemediationSteps: string, Tactics: string, Techniques: string,
  SubTechniques: string, IsIncident: bool, AlertLink: string, ResourceId: string, SourceComputerId: string,
  WorkspaceSubscriptionId: string, WorkspaceResourceGroup: string, SourceSystem: string, Type: string`;

/** A table of rows in `output.format = "kql"`; of the alert's columns those that docs/output.md does not rename. */
export const Rows = `${CloudAppEvents}, correlationId1: dynamic, correlationId: string, SystemAlertId: string, AlertName: string, alerttrail: dynamic`;
