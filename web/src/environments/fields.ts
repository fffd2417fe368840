import { envChangeOf, formatEnv } from '../agents/settings.ts'
import type { Environment, EnvironmentChange, NetworkMode, NewEnvironment } from '../api/types.ts'

/** The values of the environment form. */
export interface Fields {
  name: string
  description: string
  mode: NetworkMode
  /** One pattern a line. */
  hosts: string
  packages: boolean
  /** One variable a line: NAME=value. */
  variables: string
}

export function fieldsOf(environment?: Environment): Fields {
  return {
    name: environment?.name ?? '',
    description: environment?.description ?? '',
    mode: environment?.network.mode ?? 'none',
    hosts: environment?.network.hosts?.join('\n') ?? '',
    packages: environment?.network.packages ?? false,
    variables: formatEnv(environment?.variables),
  }
}

/** Returns the merge patch that gives an environment these values. Throws an error for people. */
export function changeOf(fields: Fields, environment: Environment): EnvironmentChange {
  const { mode, hosts, packages } = networkOf(fields)
  return {
    name: fields.name,
    description: fields.description || null,
    network: { mode, hosts: hosts ?? null, packages: packages ?? null },
    variables: envChangeOf(fields.variables, environment.variables),
  }
}

/** Returns the request that creates an environment with these values. Throws an error for people. */
export function newEnvironmentOf(fields: Fields): NewEnvironment {
  const variables = envChangeOf(fields.variables) as Record<string, string>
  return {
    name: fields.name,
    ...(fields.description && { description: fields.description }),
    network: networkOf(fields),
    ...(Object.keys(variables).length > 0 && { variables }),
  }
}

/** Without a network there are no hosts, also if the user has written some before. */
function networkOf({ mode, hosts, packages }: Fields): NewEnvironment['network'] & { mode: NetworkMode } {
  const list = hosts
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  return mode === 'none'
    ? { mode }
    : { mode, ...(list.length > 0 && { hosts: list }), ...(packages && { packages }) }
}

/** Says in one line what a sandbox can reach. */
export function networkText({ network: { mode, hosts = [], packages } }: Environment): string {
  const reachable = [...(packages ? ['registries of packages'] : []), ...hosts]
  switch (mode) {
    case 'none':
      return 'no network'
    case 'limited':
      return reachable.length > 0 ? reachable.join(', ') : 'no hosts'
    case 'open':
      return ['every public host', ...hosts].join(', ')
  }
}
