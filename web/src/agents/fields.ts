import type { Agent, AgentChange, NewAgent } from '../api/types.ts'

/** An agent as a form holds it: all of it text, empty where the default shall be. */
export interface Fields {
  name: string
  description: string
  instructions: string
  runtime: string
  model: string
  timeout: string
  maxTokens: string
  maxCostUsd: string
  maxAttempts: string
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
  }
}

/** What changes an agent into the one of the fields: null gives a field its default again. */
export function changeOf(fields: Fields): AgentChange {
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
  }
}

/** The same for an agent that is not there yet: what has its default is left out. */
export function newAgentOf(fields: Fields): NewAgent {
  return withoutNulls(changeOf(fields)) as NewAgent
}

function numberOf(text: string): number | null {
  return text.trim() === '' ? null : Number(text)
}

function withoutNulls(from: object): object {
  const kept = Object.entries(from)
    .filter(([, value]) => value !== null)
    .map(([name, value]: [string, unknown]) => [name, value instanceof Object ? withoutNulls(value) : value])
  return Object.fromEntries(kept) as object
}
