import { screen, waitFor, within } from '@testing-library/react'
import { describe, expect, test } from 'vitest'
import { StandIn } from '../../dev/standin.ts'
import { post, visit } from '../test/visit.tsx'

async function withExecution() {
  const server = new StandIn()
  const sent = await post(server, '/api/conversation', { message: 'the question' })
  return { server, id: sent['executionId'] ?? '', conversation: sent['conversationId'] ?? '' }
}

function fact(name: string): string {
  return screen.getByText(name, { selector: 'dt' }).nextElementSibling?.textContent ?? ''
}

describe("an execution's page", () => {
  test('follows it until it has finished', async () => {
    const { server, id, conversation } = await withExecution()
    visit(`#/e/${id}`, server)
    expect(await screen.findByText('the question')).toBeVisible()
    expect(fact('Status')).toBe('Queued')
    expect(fact('Attempt')).toBe('none yet')
    server.start(id)
    server.finish(id, { result: { text: 'the answer' } })
    expect(await screen.findByText('the answer')).toBeVisible()
    expect(fact('Status')).toBe('Succeeded')
    expect(fact('Attempt')).toBe('1')
    expect(screen.queryByRole('button', { name: 'Cancel' })).not.toBeInTheDocument()
    expect(screen.getByRole('link', { name: 'Conversation' })).toHaveAttribute('href', `#/c/${conversation}`)
  })

  test('shows the newest steps while it runs', async () => {
    const { server, id } = await withExecution()
    server.start(id)
    visit(`#/e/${id}`, server)
    await waitFor(() => expect(server.events.openAt(`/executions/${id}/events`)).toBe(1))
    for (let number = 1; number <= 7; number++) {
      server.step(id, number, 'progress', `uses tool ${number}`)
    }
    server.step(id, 8, 'output', '<b>said</b>')
    await screen.findByText('<b>said</b>')
    const steps = within(screen.getByRole('list', { name: 'Steps' })).getAllByRole('listitem')
    expect(steps.map((step) => step.textContent)).toEqual([
      ...[4, 5, 6, 7].map((number) => `uses tool ${number}`),
      '<b>said</b>',
    ])
    server.finish(id, { result: { text: 'the answer' } })
    expect(await screen.findByText('the answer')).toBeVisible()
    expect(screen.queryByRole('list', { name: 'Steps' })).not.toBeInTheDocument()
  })

  test('shows what the agent is saying, and then the step that it is', async () => {
    const { server, id } = await withExecution()
    server.start(id)
    visit(`#/e/${id}`, server)
    await waitFor(() => expect(server.events.openAt(`/executions/${id}/events`)).toBe(1))
    const texts = () =>
      within(screen.getByRole('list', { name: 'Steps' }))
        .getAllByRole('listitem')
        .map((step) => step.textContent)
    server.step(id, 0, 'partial', 'I lo')
    await screen.findByText('I lo')
    server.step(id, 0, 'partial', 'I look')
    await screen.findByText('I look')
    expect(texts()).toEqual(['I look'])
    server.step(id, 1, 'progress', 'uses Bash')
    await screen.findByText('uses Bash')
    expect(texts()).toEqual(['uses Bash', 'I look'])
    server.step(id, 2, 'output', 'I look around.')
    await screen.findByText('I look around.')
    expect(texts()).toEqual(['uses Bash', 'I look around.'])
  })

  test('shows times, usage and the error', async () => {
    const { server, id } = await withExecution()
    const execution = server.executions.get(id)
    if (!execution) {
      throw new Error('the stand-in lost the execution')
    }
    server.executions.set(id, {
      ...execution,
      ...{
        status: 'failed',
        attempt: 3,
        model: 'sonnet',
        error: { code: 'model_error', message: 'Overloaded.' },
      },
      ...{
        createdAt: '2026-01-02T03:00:00Z',
        startedAt: '2026-01-02T03:00:02.5Z',
        finishedAt: '2026-01-02T03:01:07.5Z',
      },
      usage: {
        inputTokens: 1234,
        outputTokens: 56,
        costUsd: 0.01234,
        calls: 7,
        estimatedCalls: 2,
        oomKills: 2,
        modelWait: '1m5s',
      },
    })
    visit(`#/e/${id}`, server)
    expect(await screen.findByText('Overloaded.')).toBeVisible()
    expect(screen.getByText('model_error')).toBeVisible()
    expect(fact('Started')).toContain('waited 2.5 s')
    expect(fact('Finished')).toContain('ran 1 min 5 s')
    expect(fact('Runtime')).toBe('claude · sonnet')
    expect(fact('Tokens')).toBe('1,234 in, 56 out')
    expect(fact('Cost')).toBe('0.0123 USD')
    expect(fact('Model calls')).toBe('72 ended early; their tokens are estimated')
    expect(fact('Waited for the model')).toBe('1m5sdoes not count against the time-out')
    expect(fact('Out of memory')).toBe('2 processes killed')
  })

  test('says that there is no such execution', async () => {
    visit('#/e/exe_none')
    expect(await screen.findByRole('alert')).toHaveTextContent('not_found')
  })
})

describe('the list of executions', () => {
  test('links to each, newest first', async () => {
    const { server, id } = await withExecution()
    await post(server, '/api/conversation', { message: 'another' })
    visit('#/e', server)
    const links = await within(screen.getByRole('main')).findAllByRole('link')
    expect(links.map((link) => link.textContent)).toEqual([
      expect.stringContaining('another'),
      expect.stringContaining('the question'),
    ])
    expect(links[1]).toHaveAttribute('href', `#/e/${id}`)
  })

  test('says what to do while it is empty', async () => {
    visit('#/e')
    expect(await screen.findByText('No executions yet')).toBeVisible()
  })
})
