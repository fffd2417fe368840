import { screen, within } from '@testing-library/react'
import { describe, expect, test } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { StandIn } from '../../dev/standin.ts'
import { post, visit } from '../test/visit.tsx'

async function bodies(requests: Request[], method: string): Promise<unknown[]> {
  return Promise.all(
    requests.filter((request) => request.method === method).map((request) => request.clone().json()),
  )
}

describe('a new agent', () => {
  test('is created with a form that leaves the defaults to the server', async () => {
    const { server, user, requests } = visit('#/')
    await user.click(await screen.findByRole('link', { name: 'New agent' }))
    await user.type(await screen.findByLabelText('Name'), 'Sorter')
    await user.type(screen.getByLabelText('Instructions'), 'Sort the lines.')
    await user.type(screen.getByLabelText('Token limit'), '5000')
    await user.type(screen.getByLabelText('Maximum attempts'), '3')
    await user.type(screen.getByLabelText('Transcripts stored for'), '72h')
    await user.click(screen.getByRole('button', { name: 'Create agent' }))
    expect(await screen.findByRole('heading', { level: 1, name: 'Sorter' })).toBeVisible()
    expect(server.agents.size).toBe(1)
    expect(screen.getByText(/transcripts for 72h/)).toBeVisible()
    expect(await bodies(requests, 'POST')).toEqual([
      {
        name: 'Sorter',
        instructions: 'Sort the lines.',
        budget: { maxTokens: 5000 },
        retry: { maxAttempts: 3 },
        transcriptRetention: '72h',
      },
    ])
  })
})

describe("an agent's page", () => {
  const draft = { name: 'Old', description: 'of old', instructions: 'x', budget: { maxCostUsd: 0.5 } }

  async function withAgent() {
    const server = new StandIn()
    const { id = '' } = await post(server, '/agents', draft)
    return { server, hash: `#/a/${id}` }
  }

  test('changes it, and resets an emptied field to its default', async () => {
    const { server, hash } = await withAgent()
    const { user, requests } = visit(hash, server)
    expect(await screen.findByText(/0.5 USD/)).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Edit agent' }))
    const name = screen.getByLabelText('Name')
    await user.clear(name)
    await user.type(name, 'New')
    await user.clear(screen.getByLabelText('Description'))
    await user.clear(screen.getByLabelText('Cost limit in US dollars'))
    await user.type(screen.getByLabelText('Token limit'), '7')
    await user.click(screen.getByRole('button', { name: 'Save changes' }))
    expect(await screen.findByRole('heading', { level: 1, name: 'New' })).toBeVisible()
    expect(await bodies(requests, 'PATCH')).toMatchObject([
      {
        ...{ name: 'New', description: null, model: null, budget: { maxTokens: 7, maxCostUsd: null } },
        transcriptRetention: null,
      },
    ])
    expect(await within(screen.getByRole('navigation')).findByRole('link', { name: 'New' })).toBeVisible()
  })

  test('shows why a change is rejected, and keeps the typed text', async () => {
    const { server, hash } = await withAgent()
    const { user } = visit(hash, server, ({ method }) =>
      method === 'PATCH'
        ? problem({
            ...{ status: 400, title: 'Bad Request', code: 'invalid_request', detail: 'Not valid.' },
            errors: [{ field: 'timeout', detail: 'must be a duration' }],
          })
        : undefined,
    )
    await user.click(await screen.findByRole('button', { name: 'Edit agent' }))
    const timeout = screen.getByLabelText('Time-out of a run')
    await user.clear(timeout)
    await user.type(timeout, 'soon')
    await user.click(screen.getByRole('button', { name: 'Save changes' }))
    expect(await screen.findByRole('alert')).toHaveTextContent('timeout: must be a duration')
    expect(screen.getByLabelText('Time-out of a run')).toHaveValue('soon')
    await user.click(screen.getByRole('button', { name: 'Discard changes' }))
    expect(screen.getByText('of old')).toBeVisible()
  })

  test('deletes it only after a confirmation', async () => {
    const { server, hash } = await withAgent()
    const { user } = visit(hash, server)
    await user.click(await screen.findByRole('button', { name: 'Delete…' }))
    await user.click(screen.getByRole('button', { name: 'Keep agent' }))
    expect(server.agents.size).toBe(1)
    await user.click(screen.getByRole('button', { name: 'Delete…' }))
    await user.click(screen.getByRole('button', { name: 'Delete agent' }))
    expect(await screen.findByText('Say hello, or ask for an agent')).toBeVisible()
    expect(server.agents.size).toBe(0)
    expect(within(screen.getByRole('navigation')).queryByText('Old')).not.toBeInTheDocument()
  })
})
