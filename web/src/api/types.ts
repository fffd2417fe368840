import type { components } from './schema.gen.ts'

type Schemas = components['schemas']

export type Accepted = Schemas['AcceptedExecution']
export type Agent = Schemas['Agent']
export type AgentVersion = Schemas['AgentVersion']
export type AgentDraft = Schemas['AgentDraft']
export type AnswerSchema = Schemas['AnswerSchema']
export type Attempt = Schemas['Attempt']
export type AttemptList = Schemas['AttemptList']
export type Batch = Schemas['Batch']
/** A JSON Merge Patch of an agent. */
export type AgentChange = Schemas['UpdateAgent']
export type NewAgent = Schemas['CreateAgent']
export type Change = Schemas['ChangeEvent']
export type Conversation = Schemas['Conversation']
export type ConversationDetail = Schemas['ConversationDetail']
export type Environment = Schemas['Environment']
/** A JSON Merge Patch of an environment. */
export type EnvironmentChange = Schemas['UpdateEnvironment']
export type EnvironmentVersion = Schemas['EnvironmentVersion']
export type NewEnvironment = Schemas['CreateEnvironment']
export type NetworkMode = Schemas['NetworkMode']
export type Execution = Schemas['Execution']
export type Executor = Schemas['Executor']
export type Failure = Schemas['Failure']
export type InstallationStatus = Schemas['InstallationStatus']
export type MCPServer = Schemas['MCPServer']
export type Message = Schemas['Message']
/** The code is any string: a newer server, or a proxy in front of it, may use codes that this page does not know. */
export type Problem = Omit<Schemas['Problem'], 'code'> & { code: string }
export type Result = Schemas['Result']
export type Skill = Schemas['Skill']
export type UploadedFile = Schemas['File']
export type Status = Schemas['Status']
export type Step = Schemas['StepEvent']
export type Workspace = Schemas['Workspace']
/** A tenant as the operator sees it. */
export type TenantList = Schemas['TenantList']
export type TenantState = Schemas['Tenant']
export type TenantSettings = Schemas['TenantSettings']
/** The type is any string: a newer server may use types that this page does not know. */
export type TranscriptItem = Omit<Schemas['TranscriptItem'], 'type'> & { type: string }
export type Work = Schemas['Work']
export type UsageReport = Schemas['UsageReport']
export type UsageRow = Schemas['UsageRow']
