import { screen, waitFor } from '@testing-library/react'
import { describe, expect, test } from 'vitest'
import { StandIn } from '../../dev/standin.ts'
import type { Batch } from '../api/types.ts'
import { post, visit } from '../test/visit.tsx'

async function withBatch(change: Partial<Batch>) {
  const server = new StandIn()
  const { id: agentId = '' } = await post(server, '/agents', { name: 'Sorter', instructions: 'x' })
  const progress = {
    ...{
      pending: 900,
      queued: 20,
      running: 5,
      succeeded: 70,
      failed: 3,
      timedOut: 1,
      canceled: 1,
      missing: 0,
    },
    ...{ costUsd: 0.125, eta: '4m30s' },
  }
  const urls = { self: '', results: '', cancel: '', retry: '' }
  server.batches.set('bat_1', {
    ...{ id: 'bat_1', agentId, status: 'running', total: 1000, progress, urls },
    createdAt: '2026-01-02T03:00:00Z',
    ...change,
  })
  return server
}

describe('batches', () => {
  test('are listed with their agents, and link to their progress', async () => {
    const { user } = visit('#/', await withBatch({}))
    await user.click(await screen.findByRole('link', { name: 'Batches' }))
    await user.click(await screen.findByRole('link', { name: /1,000 × Sorter/ }))
    expect(await screen.findByText('75 of 1,000 finished')).toBeVisible()
    expect(screen.getByRole('progressbar', { name: 'Finished inputs' })).toHaveValue(75)
    expect(screen.getByText('Waiting').nextElementSibling).toHaveTextContent('920')
    expect(screen.getByText('Estimated time left').nextElementSibling).toHaveTextContent('4m30s')
  })

  test('show how to submit one while the list is empty', async () => {
    visit('#/b')
    expect(await screen.findByText(/airlock batch submit/)).toBeVisible()
  })

  test('can be canceled', async () => {
    const { user, server } = visit('#/b/bat_1', await withBatch({}))
    await user.click(await screen.findByRole('button', { name: 'Cancel unfinished inputs' }))
    expect(await screen.findByRole('button', { name: 'Canceling…' })).toBeDisabled()
    await waitFor(() => expect(server.batches.get('bat_1')?.status).toBe('canceling'))
  })

  test('that have finished retry their failed inputs as a new batch', async () => {
    const { user, server } = visit('#/b/bat_1', await withBatch({ status: 'finished' }))
    await user.click(await screen.findByRole('button', { name: 'Retry 4 failed inputs' }))
    await waitFor(() => expect(server.batches.size).toBe(2))
    const retry = [...server.batches.values()].find(({ retryOf }) => retryOf === 'bat_1')
    expect(await screen.findByRole('heading', { level: 1, name: retry?.id ?? '' })).toBeVisible()
    expect(await screen.findByRole('link', { name: 'Original batch' })).toHaveAttribute('href', '#/b/bat_1')
  })
})
