import type { Agent, AgentChange, NewAgent } from '../api/types.ts'
import { settingFieldsOf, settingsChangeOf, type SettingFields } from './settings.ts'

/** The values of the agent form. An empty text stands for the default. */
export interface Fields extends SettingFields {
  name: string
  description: string
  instructions: string
  runtime: string
  model: string
  timeout: string
  maxTokens: string
  maxCostUsd: string
  maxAttempts: string
  transcriptRetention: string
  /** The ID of an environment. */
  environmentId: string
}

export function fieldsOf(agent?: Agent): Fields {
  return {
    name: agent?.name ?? '',
    description: agent?.description ?? '',
    instructions: agent?.instructions ?? '',
    runtime: agent?.runtime ?? '',
    model: agent?.model ?? '',
    timeout: agent?.timeout ?? '',
    maxTokens: agent?.budget?.maxTokens?.toString() ?? '',
    maxCostUsd: agent?.budget?.maxCostUsd?.toString() ?? '',
    maxAttempts: agent?.retry?.maxAttempts?.toString() ?? '',
    transcriptRetention: agent?.transcriptRetention ?? '',
    environmentId: agent?.environmentId ?? '',
    ...settingFieldsOf(agent),
  }
}

/**
 * Returns the merge patch that gives an agent these values. Null resets a field to its default. Throws an error for people
 * if a text cannot be read.
 */
export function changeOf(fields: Fields, agent?: Agent): AgentChange {
  const { name, instructions, description, runtime, model, timeout } = fields
  return {
    name,
    instructions,
    description: description || null,
    runtime: runtime || null,
    model: model || null,
    timeout: timeout || null,
    budget: { maxTokens: numberOf(fields.maxTokens), maxCostUsd: numberOf(fields.maxCostUsd) },
    retry: { maxAttempts: numberOf(fields.maxAttempts) },
    transcriptRetention: fields.transcriptRetention.trim() || null,
    environmentId: fields.environmentId || null,
    ...settingsChangeOf(fields, agent),
  }
}

/** Returns the request that creates an agent with these values. It omits fields with defaults. */
export function newAgentOf(fields: Fields): NewAgent {
  const { schema, ...change } = changeOf(fields)
  // A schema may contain null.
  return { ...withoutNulls(change), ...(schema && { schema }) } as NewAgent
}

function numberOf(text: string): number | null {
  return text.trim() === '' ? null : Number(text)
}

/** Leaves out members that are null, and objects without members. */
function withoutNulls(from: object): object {
  const entries = Object.entries(from)
    .map(([name, value]: [string, unknown]) => [name, isObject(value) ? withoutNulls(value) : value] as const)
    .filter(([, value]) => value !== null && !(isObject(value) && Object.keys(value).length === 0))
  return Object.fromEntries(entries)
}

function isObject(value: unknown): value is object {
  return value instanceof Object && !Array.isArray(value)
}
