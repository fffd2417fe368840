import { screen, within } from '@testing-library/react'
import { describe, expect, test } from 'vitest'
import { StandIn } from '../../dev/standin.ts'
import type { UsageReport } from '../api/types.ts'
import { post, visit } from '../test/visit.tsx'

const counts = (executions: number, costUsd: number): UsageReport['total'] => ({
  ...{ executions, succeeded: executions, failed: 0, timedOut: 0, canceled: 0, attempts: executions },
  ...{ inputTokens: 1000 * executions, outputTokens: 0, costUsd },
})

async function withUsage() {
  const server = new StandIn()
  const { id: agentId = '' } = await post(server, '/agents', { name: 'Sorter', instructions: 'x' })
  const report = { from: '2026-11-01', to: '2026-11-30', total: counts(3, 0.75), warnings: [] }
  server.usage.set('day', {
    ...report,
    rows: [{ day: '2026-11-30', counts: counts(3, 0.75) }],
    warnings: [
      { day: '2026-11-30', level: 'hard', limitUsd: 0.5, spentUsd: 0.75, at: '2026-11-30T10:00:00Z' },
      {
        day: '2026-11-30',
        level: 'soft',
        limitUsd: 0.06,
        spentUsd: 0.07,
        at: '2026-11-30T10:00:00Z',
        agentId,
      },
    ],
  })
  server.usage.set('agent', {
    ...report,
    rows: [{ agentId, counts: counts(2, 0.5) }, { counts: counts(1, 0.25) }],
  })
  return server
}

describe('usage', () => {
  test('is shown by day, with the warnings, and by agent', async () => {
    const { user } = visit('#/', await withUsage())
    await user.click(await screen.findByRole('link', { name: 'Usage' }))
    expect(within(await screen.findByRole('row', { name: /2026-11-30/ })).getByText('$0.75')).toBeVisible()
    const main = screen.getByRole('main')
    const [budget, ofAgent] = screen.getAllByRole('status')
    expect(budget).toHaveTextContent('2026-11-30: the daily budget reached $0.50; nothing more starts')
    expect(ofAgent).toHaveTextContent('2026-11-30: agent Sorter reached $0.06')
    expect(within(main).getByRole('link', { name: 'Sorter' })).toHaveAttribute('href', '#/a/agt_0001')
    await user.selectOptions(screen.getByRole('combobox', { name: 'by' }), 'agent')
    expect(await screen.findByRole('row', { name: /Sorter 2 2,000 \$0.50/ })).toBeVisible()
    expect(screen.getByRole('row', { name: /agent builder 1 1,000 \$0.25/ })).toBeVisible()
  })

  test('says when there is none', async () => {
    const server = new StandIn()
    const empty = { total: counts(0, 0), rows: [], warnings: [] }
    server.usage.set('day', { from: '2026-11-01', to: '2026-11-30', ...empty })
    visit('#/usage', server)
    expect(await screen.findByText('No execution has ended from 2026-11-01 to 2026-11-30.')).toBeVisible()
  })
})
