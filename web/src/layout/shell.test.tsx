import { screen, waitFor, within } from '@testing-library/react'
import { describe, expect, test, vi } from 'vitest'
import { StandIn } from '../../dev/standin.ts'
import { post, visit } from '../test/visit.tsx'

describe('the frame', () => {
  test('says what to do while its lists are empty', async () => {
    visit('#/')
    expect(await screen.findByText('Say hello, or ask for an agent')).toBeVisible()
    expect(await screen.findByText('None yet. Start one above.')).toBeVisible()
    expect(await screen.findByText('None yet. Ask for one in a conversation.')).toBeVisible()
  })

  test('a suggestion fills the input and sends nothing', async () => {
    const { user, server } = visit('#/')
    await user.click(await screen.findByRole('button', { name: /Hello! What can you do/ }))
    expect(screen.getByRole('textbox', { name: 'Message' })).toHaveValue('Hello! What can you do?')
    expect(server.executions.size).toBe(0)
  })

  test('lists conversations newest first, and marks the current one', async () => {
    const server = new StandIn()
    const first = await post(server, '/api/conversation', { message: 'older' })
    await post(server, '/api/conversation', { message: 'newer' })
    visit(`#/c/${first['conversationId'] ?? ''}`, server)
    const list = await screen.findByRole('region', { name: 'Conversations' })
    const names = (await within(list).findAllByRole('link')).map((link) => link.textContent)
    expect(names).toEqual([expect.stringContaining('newer'), expect.stringContaining('older')])
    expect(within(list).getByRole('link', { current: 'page' })).toHaveTextContent('older')
  })

  test('its menu opens over the page, makes it inert, and closes with Escape', async () => {
    const { user } = visit('#/')
    const toggle = screen.getByRole('button', { name: 'Open the menu' })
    await user.click(toggle)
    expect(toggle).toHaveAttribute('aria-expanded', 'true')
    expect(document.querySelector('main')).toHaveAttribute('inert')
    await user.keyboard('{Escape}')
    expect(toggle).toHaveAttribute('aria-expanded', 'false')
    expect(document.querySelector('main')).not.toHaveAttribute('inert')
    expect(toggle).toHaveFocus()
  })

  test('closes the menu on navigation and moves the focus to the page', async () => {
    const { user } = visit('#/')
    await user.click(screen.getByRole('button', { name: 'Open the menu' }))
    await user.click(screen.getByRole('link', { name: 'Executions' }))
    expect(await screen.findByRole('heading', { level: 1, name: 'Executions' })).toBeVisible()
    expect(screen.getByRole('button', { name: 'Open the menu' })).toHaveAttribute('aria-expanded', 'false')
    expect(screen.getByRole('main')).toHaveFocus()
  })

  test('focuses the input with a mouse, and not on a touch screen', async () => {
    const { unmount } = visit('#/')
    expect(await screen.findByRole('textbox')).not.toHaveFocus()
    unmount()
    vi.spyOn(window, 'matchMedia').mockImplementation(
      (media) => ({ matches: media === '(pointer: fine)' }) as MediaQueryList,
    )
    visit('#/')
    expect(await screen.findByRole('textbox')).toHaveFocus()
  })

  test('reports an unknown address', async () => {
    visit('#/nowhere/at/all')
    expect(await screen.findByText('There is no such page')).toBeVisible()
  })

  test('shows an unreachable server in place of an empty list', async () => {
    const { user, intercept } = visit('#/e', new StandIn(), () => {
      throw new TypeError('Failed to fetch')
    })
    await waitFor(() => expect(screen.getAllByText('The server cannot be reached.')).toHaveLength(3))
    expect(screen.queryByText(/None yet/)).not.toBeInTheDocument()
    intercept(() => undefined)
    await user.click(screen.getByRole('button', { name: 'Try again' }))
    expect(await screen.findByText('No executions yet')).toBeVisible()
  })
})
