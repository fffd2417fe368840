import { screen, within } from '@testing-library/react'
import { describe, expect, test } from 'vitest'
import { StandIn } from '../../dev/standin.ts'
import { post, visit } from '../test/visit.tsx'
import { settingFieldsOf, settingsChangeOf } from './settings.ts'

async function bodies(requests: Request[], method: string): Promise<unknown[]> {
  return Promise.all(
    requests.filter((request) => request.method === method).map((request) => request.clone().json()),
  )
}

const draft = {
  name: 'Weather',
  instructions: 'Report the weather.',
  env: { CITY: 'Bern', OLD: '1' },
  tools: { allowed: ['Read'] },
  skills: [{ name: 'maps', files: [{ path: 'SKILL.md', content: 'x' }] }],
}

async function withAgent() {
  const server = new StandIn()
  const { id = '' } = await post(server, '/agents', draft)
  return { server, id, hash: `#/a/${id}` }
}

function folder(name: string, files: Record<string, BlobPart>): File[] {
  return Object.entries(files).map(([path, content]) => {
    const file = new File([content], path.split('/').at(-1) ?? '')
    Object.defineProperty(file, 'webkitRelativePath', { value: `${name}/${path}` })
    return file
  })
}

describe('the settings of an agent', () => {
  test('are changed in the form, with the version that was edited', async () => {
    const { server, hash } = await withAgent()
    const { user, requests } = visit(hash, server)
    const settings = await screen.findByLabelText('Settings')
    expect(within(settings).getByText('CITY, OLD')).toBeVisible()
    expect(within(settings).getByText('maps (1 file)')).toBeVisible()

    await user.click(screen.getByRole('button', { name: 'Edit agent' }))
    await user.click(screen.getByRole('button', { name: 'Advanced settings' }))
    await user.type(screen.getByLabelText('Maximum turns'), '7')
    await user.type(screen.getByLabelText('Effort'), 'high')
    await user.clear(screen.getByLabelText('Variables'))
    await user.type(screen.getByLabelText('Variables'), 'CITY=Rome{Enter}A=b=c')
    await user.type(screen.getByLabelText('Denied tools'), 'Bash(rm *){Enter}Write')
    await user.click(screen.getByLabelText('Schema of the answer'))
    await user.paste('{"type": "object", "default": null}')
    await user.upload(
      screen.getByLabelText('Add a skill'),
      folder('weather', { 'SKILL.md': 'Say it.', 'data/a.bin': new Uint8Array([255]) }),
    )
    expect(await screen.findByText('2 files')).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Remove maps' }))
    await user.click(screen.getByRole('button', { name: 'Save changes' }))
    expect(await screen.findByText('CITY, A')).toBeVisible()
    expect(await bodies(requests, 'PATCH')).toMatchObject([
      {
        version: 1,
        maxTurns: 7,
        effort: 'high',
        env: { CITY: 'Rome', A: 'b=c', OLD: null },
        tools: { allowed: ['Read'], denied: ['Bash(rm *)', 'Write'] },
        schema: { type: 'object', default: null },
        mcpServers: null,
        skills: [
          {
            name: 'weather',
            files: [
              { path: 'SKILL.md', content: 'Say it.' },
              { path: 'data/a.bin', content: '/w==', encoding: 'base64' },
            ],
          },
        ],
      },
    ])
  })

  test('that cannot be read are not sent', async () => {
    const { server, hash } = await withAgent()
    const { user, requests } = visit(hash, server)
    await user.click(await screen.findByRole('button', { name: 'Edit agent' }))
    await user.click(screen.getByRole('button', { name: 'Advanced settings' }))
    await user.click(screen.getByLabelText('MCP servers'))
    await user.paste('[{"name"')
    await user.click(screen.getByRole('button', { name: 'Save changes' }))
    expect(await screen.findByRole('alert')).toHaveTextContent('MCP servers: this is not JSON.')
    expect(await bodies(requests, 'PATCH')).toEqual([])
  })

  test('of two editors are not lost: the second is told', async () => {
    const { server, id, hash } = await withAgent()
    const { user } = visit(hash, server)
    await user.click(await screen.findByRole('button', { name: 'Edit agent' }))
    await server.handle(
      new Request(`http://stand.in/agents/${id}`, {
        method: 'PATCH',
        body: JSON.stringify({ name: 'Other' }),
      }),
    )
    await user.click(screen.getByRole('button', { name: 'Save changes' }))
    expect(await screen.findByRole('alert')).toHaveTextContent('version_conflict')
    expect(server.agents.get(id)?.name).toBe('Other')
  })

  test('keep values of variables that lines cannot hold', () => {
    const env = { A: 'two\nlines', B: '"quoted"', C: ' spaces ', D: '', E: 'a=b' }
    const fields = settingFieldsOf({ env } as unknown as Parameters<typeof settingFieldsOf>[0])
    expect(settingsChangeOf(fields).env).toEqual(env)
  })
})

describe('the versions of an agent', () => {
  test('are listed with what changed, shown, and restored', async () => {
    const { server, id, hash } = await withAgent()
    await server.handle(
      new Request(`http://stand.in/agents/${id}`, {
        method: 'PATCH',
        body: JSON.stringify({ instructions: 'Be brief.', env: { NEW: '1' } }),
      }),
    )
    const { user, requests } = visit(hash, server)
    await user.click(await screen.findByRole('button', { name: 'Version 2' }))
    expect(await screen.findByText('2: changed instructions')).toBeVisible()
    await user.click(screen.getByRole('button', { name: /^1: created/ }))
    const first = await screen.findByRole('region', { name: 'Version 1' })
    expect(within(first).getByText('Report the weather.')).toBeVisible()
    await user.click(within(first).getByRole('button', { name: 'Restore version 1' }))
    expect(await screen.findByRole('button', { name: 'Version 3' })).toBeVisible()
    expect(await bodies(requests, 'PATCH')).toMatchObject([
      { version: 2, instructions: 'Report the weather.', env: { CITY: 'Bern', OLD: '1', NEW: null } },
    ])
  })
})
