import { screen, waitFor, within } from '@testing-library/react'
import { describe, expect, test } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { StandIn } from '../../dev/standin.ts'
import { isPost, post, visit } from '../test/visit.tsx'

const draft = {
  name: 'Summarizer',
  description: 'Three lines of minutes.',
  instructions: 'The input is minutes.\nAnswer in three lines.',
  runtime: 'claude',
}

async function withProposedAgent() {
  const server = new StandIn()
  const sent = await post(server, '/api/conversation', { message: 'make one' })
  server.finish(sent['executionId'] ?? '', { result: { text: 'How about this?', agentDraft: draft } })
  return { server, hash: `#/c/${sent['conversationId'] ?? ''}` }
}

describe('a proposed agent', () => {
  test('appears as a card, is created by its button, and gets a link', async () => {
    const { server, hash } = await withProposedAgent()
    const { user } = visit(hash, server)
    const card = await screen.findByRole('article', { name: 'Summarizer' })
    expect(within(card).getByText('Three lines of minutes.')).toBeVisible()
    expect(within(card).getByText('claude')).toBeVisible()
    expect(within(card).getByText(/Answer in three lines/)).not.toBeVisible()
    await user.click(within(card).getByText('Instructions'))
    expect(within(card).getByText(/Answer in three lines/)).toBeVisible()

    await user.click(within(card).getByRole('button', { name: 'Create agent' }))
    expect(await within(card).findByText('Created.')).toBeVisible()
    expect([...server.agents.values()]).toMatchObject([draft])
    expect(within(card).queryByRole('button')).not.toBeInTheDocument()
    const nav = screen.getByRole('navigation')
    expect(await within(nav).findByRole('link', { name: 'Summarizer' })).toBeVisible()

    await user.click(within(card).getByRole('link', { name: 'Run it' }))
    expect(await screen.findByRole('textbox', { name: 'Input for one run' })).toBeVisible()
  })

  test('is still marked as created after a reload', async () => {
    const { server, hash } = await withProposedAgent()
    await post(server, '/agents', draft)
    visit(hash, server)
    const card = await screen.findByRole('article', { name: 'Summarizer' })
    expect(await within(card).findByText('Created.')).toBeVisible()
  })

  test('shows why it was not created, and can be created again', async () => {
    const { server, hash } = await withProposedAgent()
    const { user, intercept } = visit(hash, server)
    intercept((request) =>
      isPost(request, '/agents')
        ? problem({
            ...{ status: 400, title: 'Bad Request', code: 'invalid', detail: 'The agent is not valid.' },
            errors: [{ field: 'runtime', detail: 'is not known' }],
          })
        : undefined,
    )
    await user.click(await screen.findByRole('button', { name: 'Create agent' }))
    const alert = await screen.findByRole('alert')
    expect(alert).toHaveTextContent('The agent is not valid.')
    expect(alert).toHaveTextContent('runtime: is not known')
    intercept(() => undefined)
    await user.click(screen.getByRole('button', { name: 'Try again' }))
    expect(await screen.findByText('Created.')).toBeVisible()
  })
})

describe("an agent's page", () => {
  async function withAgent() {
    const server = new StandIn()
    const created = await post(server, '/agents', draft)
    return { server, id: created['id'] ?? '' }
  }
  const input = () => screen.findByRole('textbox', { name: 'Input for one run' })
  const newest = () => screen.findByRole('region', { name: 'Newest run' })

  test('shows the agent, and runs it to a structured result', async () => {
    const { server, id } = await withAgent()
    const { user } = visit(`#/a/${id}`, server)
    expect(await screen.findByRole('heading', { level: 1, name: 'Summarizer' })).toBeVisible()
    expect(screen.getByText(/Answer in three lines/)).toBeVisible()
    expect(await screen.findByText(/No runs yet/)).toBeVisible()

    await user.type(await input(), 'some minutes{Enter}')
    expect(await within(await newest()).findByText('Queued')).toBeVisible()
    const [execution] = [...server.executions.keys()]
    server.finish(execution ?? '', { result: { text: 'done', output: { lines: ['a', '<b>'] } } })
    expect(await within(await newest()).findByText('done')).toBeVisible()
    const output = within(await newest()).getByRole('region', { name: 'Structured output' })
    expect(output.querySelector('pre')?.textContent).toBe('{\n  "lines": [\n    "a",\n    "<b>"\n  ]\n}')
    expect(within(await newest()).getByRole('link', { name: 'Details' })).toHaveAttribute(
      'href',
      `#/e/${execution ?? ''}`,
    )
  })

  test('offers a conversation only if the agent takes part in conversations', async () => {
    const { server, id } = await withAgent()
    const { unmount } = visit(`#/a/${id}`, server)
    expect(await screen.findByRole('link', { name: 'Start a conversation' })).toBeVisible()
    expect(screen.queryByText(/takes part in no conversation/)).not.toBeInTheDocument()
    unmount()

    const other = await post(server, '/agents', { ...draft, runtime: 'upper' })
    const page = visit(`#/a/${other['id'] ?? ''}`, server)
    expect(await screen.findByText(/takes part in no conversation: its runtime upper/)).toBeVisible()
    expect(screen.queryByRole('link', { name: 'Start a conversation' })).not.toBeInTheDocument()
    page.unmount()

    visit(`#/new/${other['id'] ?? ''}`, server)
    expect(await screen.findByText(/takes part in no conversation/)).toBeVisible()
    expect(screen.queryByRole('textbox', { name: /Message/ })).not.toBeInTheDocument()
  })

  test('shows what its executions may cost, and how often they are tried', async () => {
    const { server } = await withAgent()
    const limited = await post(server, '/agents', {
      ...draft,
      budget: { maxCostUsd: 1 },
      dailyBudget: { usd: 2.5 },
      retry: { maxAttempts: 3 },
    })
    visit(`#/a/${limited['id'] ?? ''}`, server)
    const about = await screen.findByRole('region', { name: 'About this agent' })
    expect(about).toHaveTextContent('1 USD · 2.5 USD a day · at most 3 attempts')
  })

  test('lists only its own earlier runs', async () => {
    const { server, id } = await withAgent()
    const other = await post(server, '/agents', { ...draft, name: 'Other' })
    await post(server, `/agents/${id}/run`, { input: 'first' })
    await post(server, `/agents/${other['id'] ?? ''}/run`, { input: 'not mine' })
    await post(server, `/agents/${id}/run`, { input: 'second' })
    visit(`#/a/${id}`, server)
    const earlier = await screen.findByRole('region', { name: 'Earlier runs' })
    expect(within(earlier).getAllByRole('link')).toHaveLength(1)
    expect(within(earlier).getByRole('link')).toHaveTextContent('first')
    expect(await within(await newest()).findByText('second')).toBeVisible()
    expect(screen.queryByText('not mine')).not.toBeInTheDocument()
  })

  test('runs a failed input again', async () => {
    const { server, id } = await withAgent()
    const run = await post(server, `/agents/${id}/run`, { input: 'fragile' })
    const error = { code: 'timed_out', message: 'The run took longer than 2m0s.' } as const
    server.finish(run['executionId'] ?? '', { status: 'timed_out', error })
    const { user } = visit(`#/a/${id}`, server)
    expect(await screen.findByText('The run took longer than 2m0s.')).toBeVisible()
    expect(screen.getByText('Timed out')).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Run again' }))
    await waitFor(() =>
      expect([...server.executions.values()].map(({ input }) => input)).toEqual(['fragile', 'fragile']),
    )
  })

  test('restores the input of a rejected run for editing', async () => {
    const { server, id } = await withAgent()
    const { user, intercept } = visit(`#/a/${id}`, server)
    intercept((request) =>
      isPost(request, `/agents/${id}/run`)
        ? problem({ status: 429, title: 'Too Many Requests', code: 'rate_limited', detail: 'Wait a little.' })
        : undefined,
    )
    await user.type(await input(), 'precious{Enter}')
    expect(await screen.findByRole('alert')).toHaveTextContent('Wait a little.')
    await user.click(screen.getByRole('button', { name: 'Edit' }))
    expect(await input()).toHaveValue('precious')
    expect(screen.queryByRole('alert')).not.toBeInTheDocument()
  })

  test('links to a conversation with the agent', async () => {
    const { server, id } = await withAgent()
    const { user } = visit(`#/a/${id}`, server)
    await user.click(await screen.findByRole('link', { name: 'Start a conversation' }))
    await user.type(await screen.findByRole('textbox', { name: 'Message to Summarizer' }), 'hi{Enter}')
    await waitFor(() => expect([...server.conversations.values()]).toMatchObject([{ agentId: id }]))
  })
})
