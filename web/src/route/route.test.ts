import { describe, expect, test } from 'vitest'
import { hrefOf, parseRoute, type Route } from './route.ts'

const routes: [string, Route][] = [
  ['#/', { page: 'new' }],
  ['#/new/agt_1', { page: 'new', agentId: 'agt_1' }],
  ['#/c/con_1', { page: 'conversation', id: 'con_1' }],
  ['#/a/agt_1', { page: 'agent', id: 'agt_1' }],
  ['#/a', { page: 'new-agent' }],
  ['#/env', { page: 'environments' }],
  ['#/env/env_1', { page: 'environment', id: 'env_1' }],
  ['#/env/new', { page: 'new-environment' }],
  ['#/b', { page: 'batches' }],
  ['#/b/bat_1', { page: 'batch', id: 'bat_1' }],
  ['#/e/exe_1', { page: 'execution', id: 'exe_1' }],
  ['#/e', { page: 'executions' }],
  ['#/usage', { page: 'usage' }],
]

describe('routes', () => {
  test.each(routes)('%s is parsed and written', (href, route) => {
    expect(parseRoute(href)).toEqual(route)
    expect(hrefOf(route)).toBe(href)
  })

  test('an ID with special characters is unchanged after a round trip', () => {
    const route: Route = { page: 'execution', id: 'a/b ?#%é한' }
    expect(parseRoute(hrefOf(route))).toEqual(route)
  })

  test.each(['#/c', '#/x/1', '#/c/1/2', '#//'])('%s is unknown or the start page', (href) => {
    expect(['unknown', 'new']).toContain(parseRoute(href).page)
  })

  test('the start page needs no fragment, and an invalid escape stays as it is', () => {
    expect(parseRoute('')).toEqual({ page: 'new' })
    expect(parseRoute('#/c/%E0%A4%A')).toEqual({ page: 'conversation', id: '%E0%A4%A' })
  })
})
