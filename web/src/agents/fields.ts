import type { Agent, AgentChange, NewAgent } from '../api/types.ts'

/** The values of the agent form. All are text; an empty one stands for the default. */
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

/** Returns the merge patch that gives an agent these values. Null resets a field to its default. */
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

/** Returns the request that creates an agent with these values. It omits fields with defaults. */
export function newAgentOf(fields: Fields): NewAgent {
  return withoutNulls(changeOf(fields)) as NewAgent
}

function numberOf(text: string): number | null {
  return text.trim() === '' ? null : Number(text)
}

function withoutNulls(from: object): object {
  const entries = Object.entries(from)
    .filter(([, value]) => value !== null)
    .map(([name, value]: [string, unknown]) => [name, value instanceof Object ? withoutNulls(value) : value])
  return Object.fromEntries(entries) as object
}
