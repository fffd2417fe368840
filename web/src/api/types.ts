import type { components } from './schema.gen.ts'

type Schemas = components['schemas']

export type Accepted = Schemas['AcceptedExecution']
export type Agent = Schemas['Agent']
export type AgentDraft = Schemas['AgentDraft']
export type Batch = Schemas['Batch']
/** A JSON Merge Patch of an agent. */
export type AgentChange = Schemas['UpdateAgent']
export type NewAgent = Schemas['CreateAgent']
export type Conversation = Schemas['Conversation']
export type ConversationDetail = Schemas['ConversationDetail']
export type Execution = Schemas['Execution']
export type Failure = Schemas['Failure']
export type Message = Schemas['Message']
/** The code is any string: a newer server, or a proxy in front of it, may use codes that this page does not know. */
export type Problem = Omit<Schemas['Problem'], 'code'> & { code: string }
export type Result = Schemas['Result']
export type Status = Schemas['Status']
