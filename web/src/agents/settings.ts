import type { Agent, AgentChange, AnswerSchema, MCPServer, Skill } from '../api/types.ts'

/** The settings of an agent as the form has them. All but the skills are text; an empty one stands for the default. */
export interface SettingFields {
  maxTurns: string
  effort: string
  /** JSON */
  schema: string
  /** One variable a line: NAME=value. A value with a line break, or that begins with a quotation mark, is in JSON. */
  env: string
  /** One rule a line. */
  allowedTools: string
  deniedTools: string
  /** JSON */
  mcpServers: string
  skills: Skill[]
}

export const efforts = ['low', 'medium', 'high', 'xhigh', 'max'] as const

export function settingFieldsOf(agent?: Agent): SettingFields {
  return {
    maxTurns: agent?.maxTurns?.toString() ?? '',
    effort: agent?.effort ?? '',
    schema: formatJSON(agent?.schema),
    env: formatEnv(agent?.env),
    allowedTools: agent?.tools?.allowed?.join('\n') ?? '',
    deniedTools: agent?.tools?.denied?.join('\n') ?? '',
    mcpServers: formatJSON(agent?.mcpServers),
    skills: agent?.skills ?? [],
  }
}

/**
 * Returns the part of a merge patch that gives an agent these settings. Throws an error for people if a text cannot be
 * read. Variables that the agent has, and the fields do not, are removed.
 */
export function settingsChangeOf(fields: SettingFields, agent?: Agent): AgentChange {
  return {
    maxTurns: fields.maxTurns.trim() === '' ? null : Number(fields.maxTurns),
    effort: efforts.find((effort) => effort === fields.effort) ?? null,
    schema: parseJSON('Schema of the answer', fields.schema) as AnswerSchema | null,
    env: envChangeOf(fields.env, agent?.env),
    tools: { allowed: listOrNull(fields.allowedTools), denied: listOrNull(fields.deniedTools) },
    mcpServers: parseJSON('MCP servers', fields.mcpServers) as MCPServer[] | null,
    skills: fields.skills.length > 0 ? fields.skills : null,
  }
}

function formatJSON(value: unknown): string {
  return value === undefined ? '' : JSON.stringify(value, null, 2)
}

function parseJSON(label: string, text: string): unknown {
  if (text.trim() === '') {
    return null
  }
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new Error(`${label}: this is not JSON. ${error instanceof Error ? error.message : ''}`, {
      cause: error,
    })
  }
}

/** Writes variables for a form: one a line, NAME=value. */
export function formatEnv(env: Record<string, string> = {}): string {
  return Object.entries(env)
    .map(([name, value]) => `${name}=${/^"|[\r\n]/.test(value) ? JSON.stringify(value) : value}`)
    .join('\n')
}

/** Returns the part of a merge patch that replaces variables by those of a form. Throws an error for people. */
export function envChangeOf(
  text: string,
  before: Record<string, string> = {},
): Record<string, string | null> {
  const removed = Object.fromEntries(Object.keys(before).map((name) => [name, null]))
  return { ...removed, ...parseEnv(text) }
}

function parseEnv(text: string): Record<string, string> {
  return Object.fromEntries(
    lines(text).map((line) => {
      const at = line.indexOf('=')
      if (at < 1) {
        throw new Error(`Variables: “${line}” is not NAME=value.`)
      }
      const value = line.slice(at + 1)
      return [line.slice(0, at).trim(), value.startsWith('"') ? unquote(value) : value]
    }),
  )
}

function unquote(value: string): string {
  try {
    return JSON.parse(value) as string
  } catch {
    return value
  }
}

function listOrNull(text: string): string[] | null {
  const rules = lines(text).map((line) => line.trim())
  return rules.length > 0 ? rules : null
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '')
}
