import { screen, within } from '@testing-library/react'
import { describe, expect, test } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { StandIn } from '../../dev/standin.ts'
import { isPost, post, visit } from '../test/visit.tsx'

const draft = {
  name: 'Web shop',
  network: { mode: 'limited', hosts: ['api.example.com'], packages: true },
  variables: { STAGE: 'test', OLD: '1' },
}

async function bodies(requests: Request[], method: string): Promise<unknown[]> {
  return Promise.all(
    requests.filter((request) => request.method === method).map((request) => request.clone().json()),
  )
}

async function withEnvironment() {
  const server = new StandIn()
  const { id = '' } = await post(server, '/environments', draft)
  return { server, id, hash: `#/env/${id}` }
}

describe('environments', () => {
  test('are listed, and one is created with the form', async () => {
    const { user, requests } = visit('#/env')
    expect(await screen.findByText('No environments yet')).toBeVisible()
    await user.click(screen.getByRole('link', { name: 'New environment' }))
    await user.type(await screen.findByLabelText('Name'), 'Web shop')
    expect(screen.queryByLabelText('Hosts')).not.toBeInTheDocument()
    await user.selectOptions(screen.getByLabelText('Network'), 'Limited to hosts')
    await user.type(screen.getByLabelText('Hosts'), 'api.example.com{Enter}*.example.org:8443')
    await user.click(screen.getByLabelText(/Registries of packages/))
    await user.type(screen.getByLabelText('Variables'), 'STAGE=test')
    await user.click(screen.getByRole('button', { name: 'Create environment' }))
    expect(await screen.findByRole('heading', { level: 1, name: 'Web shop' })).toBeVisible()
    expect(screen.getByText('registries of packages, api.example.com, *.example.org:8443')).toBeVisible()
    expect(await bodies(requests, 'POST')).toEqual([
      {
        name: 'Web shop',
        network: { mode: 'limited', hosts: ['api.example.com', '*.example.org:8443'], packages: true },
        variables: { STAGE: 'test' },
      },
    ])
    await user.click(screen.getByRole('link', { name: 'Environments' }))
    expect(await screen.findByRole('link', { name: /Web shop/ })).toBeVisible()
  })

  test('are changed with the version that was edited, and lose their hosts with their network', async () => {
    const { server, hash } = await withEnvironment()
    const { user, requests } = visit(hash, server)
    await user.click(await screen.findByRole('button', { name: 'Edit environment' }))
    await user.selectOptions(screen.getByLabelText('Network'), 'None')
    await user.clear(screen.getByLabelText('Variables'))
    await user.type(screen.getByLabelText('Variables'), 'STAGE=live')
    await user.click(screen.getByRole('button', { name: 'Save changes' }))
    expect(await screen.findByText('no network')).toBeVisible()
    expect(await bodies(requests, 'PATCH')).toEqual([
      {
        name: 'Web shop',
        description: null,
        network: { mode: 'none', hosts: null, packages: null },
        variables: { STAGE: 'live', OLD: null },
        version: 1,
      },
    ])
    await user.click(screen.getByRole('button', { name: 'Version 2' }))
    const versions = await screen.findByRole('list', { name: 'Versions' })
    expect(await within(versions).findByText('2: changed network')).toBeVisible()
    expect(within(versions).getByText('1: created')).toBeVisible()
  })

  test('show why the server refuses one, and what cannot be read', async () => {
    const { user, intercept, requests } = visit('#/env/new')
    await user.type(await screen.findByLabelText('Name'), 'x')
    await user.type(screen.getByLabelText('Variables'), 'nothing')
    await user.click(screen.getByRole('button', { name: 'Create environment' }))
    expect(await screen.findByRole('alert')).toHaveTextContent('“nothing” is not NAME=value')
    expect(await bodies(requests, 'POST')).toEqual([])

    intercept((request) =>
      isPost(request, '/environments')
        ? problem({
            status: 400,
            title: 'Bad Request',
            code: 'invalid_request',
            detail: 'network.mode: not allowed.',
          })
        : undefined,
    )
    await user.clear(screen.getByLabelText('Variables'))
    await user.click(screen.getByRole('button', { name: 'Create environment' }))
    expect(await screen.findByText('network.mode: not allowed.')).toBeVisible()
  })

  test('are deleted after a question', async () => {
    const { server, hash } = await withEnvironment()
    const { user } = visit(hash, server)
    await user.click(await screen.findByRole('button', { name: 'Delete…' }))
    await user.click(screen.getByRole('button', { name: 'Delete environment' }))
    expect(await screen.findByText('No environments yet')).toBeVisible()
    expect(server.environments.size).toBe(0)
  })
})

describe('the environment of an agent', () => {
  test('is chosen in its form, and another one for a run, whose page shows it', async () => {
    const { server, id } = await withEnvironment()
    const other = await post(server, '/environments', { name: 'Open', network: { mode: 'open' } })
    const agent = await post(server, '/agents', { name: 'A', instructions: 'x' })
    const { user, requests } = visit(`#/a/${agent['id'] ?? ''}`, server)
    await user.click(await screen.findByRole('button', { name: 'Edit agent' }))
    await user.selectOptions(await screen.findByLabelText('Environment'), 'Web shop')
    await user.click(screen.getByRole('button', { name: 'Save changes' }))
    expect(await screen.findByRole('link', { name: 'Web shop' })).toHaveAttribute('href', `#/env/${id}`)
    expect(await bodies(requests, 'PATCH')).toMatchObject([{ environmentId: id }])

    await user.selectOptions(screen.getByLabelText('Environment of the run'), 'Open')
    await user.type(screen.getByLabelText('Input for one run'), 'go{Enter}')
    await user.click(await screen.findByRole('link', { name: 'Details' }))
    const facts = await screen.findByRole('region', { name: 'Facts' })
    expect(within(facts).getByRole('link', { name: other['id'] ?? '' })).toBeVisible()
  })

  test('is no question while there is no environment', async () => {
    const server = new StandIn()
    const agent = await post(server, '/agents', { name: 'A', instructions: 'x' })
    visit(`#/a/${agent['id'] ?? ''}`, server)
    expect(await screen.findByText(/No runs yet/)).toBeVisible()
    expect(screen.queryByLabelText('Environment of the run')).not.toBeInTheDocument()
  })
})
