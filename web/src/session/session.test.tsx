import { screen, waitFor } from '@testing-library/react'
import { afterEach, describe, expect, test } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { StandIn } from '../../dev/standin.ts'
import { post, visit, type Intercept } from '../test/visit.tsx'
import { signOut } from './session.ts'

afterEach(signOut)

/** Accepts one key and rejects every other. */
const requireKey: Intercept = (request) =>
  request.headers.get('Authorization') === 'Bearer alk_good'
    ? undefined
    : problem({
        status: 401,
        title: 'Unauthorized',
        code: 'unauthenticated',
        detail: 'The key is not known.',
      })

describe('a server that requires a key', () => {
  test('receives it with every call, and only this tab stores it', async () => {
    const server = new StandIn()
    await post(server, '/agents', { name: 'Mine', instructions: 'x' })
    const { user, requests } = visit('#/', server, requireKey)
    const field = await screen.findByLabelText('API key')
    expect(screen.queryByRole('navigation')).not.toBeInTheDocument()
    const before = requests.length
    await user.type(field, ' alk_good {Enter}')
    expect(await screen.findByRole('link', { name: 'Mine' })).toBeVisible()
    const calls = requests.slice(before)
    expect(calls.map((call) => call.headers.get('Authorization'))).toEqual(calls.map(() => 'Bearer alk_good'))
    expect(window.sessionStorage.getItem('airlock.key')).toBe('alk_good')
    expect(window.localStorage).toHaveLength(0)
  })

  test('shows why a key is rejected', async () => {
    const { user } = visit('#/', new StandIn(), requireKey)
    await user.type(await screen.findByLabelText('API key'), 'alk_wrong{Enter}')
    expect(await screen.findByRole('alert')).toHaveTextContent('The key is not known.')
    expect(screen.getByLabelText('API key')).toHaveAttribute('type', 'password')
  })

  test.each(['alk_열쇠', 'alk_two words', 'alk_\u00e9'])(
    'is not asked with %s, which is no key',
    async (text) => {
      const { user, requests } = visit('#/', new StandIn(), requireKey)
      const field = await screen.findByLabelText('API key')
      const before = requests.length
      await user.type(field, `${text}{Enter}`)
      expect(screen.getByRole('alert')).toHaveTextContent('a key has only ASCII letters')
      expect(field).toHaveFocus()
      expect(requests).toHaveLength(before)
      expect(window.sessionStorage).toHaveLength(0)
      await user.clear(field)
      await user.type(field, 'alk_good{Enter}')
      expect(await screen.findByRole('navigation')).toBeVisible()
    },
  )

  test('says that the key of the operator is another one', async () => {
    visit('#/', new StandIn(), requireKey)
    expect(await screen.findByLabelText('API key')).toHaveAccessibleDescription(
      /The operator has another one/,
    )
  })

  test('shows nothing of one caller to the next', async () => {
    const server = new StandIn()
    await post(server, '/agents', { name: 'Of the first', instructions: 'x' })
    const { user, intercept } = visit('#/', server, requireKey)
    await user.type(await screen.findByLabelText('API key'), 'alk_good{Enter}')
    await screen.findByRole('link', { name: 'Of the first' })
    await user.click(screen.getByRole('button', { name: 'Sign out' }))
    expect(screen.queryByText('Of the first')).not.toBeInTheDocument()
    expect(window.sessionStorage).toHaveLength(0)

    intercept(() => new Promise(() => undefined)) // a server that does not answer yet
    await user.type(await screen.findByLabelText('API key'), 'alk_other{Enter}')
    await waitFor(() => expect(screen.getByRole('navigation')).toBeVisible())
    expect(screen.queryByText('Of the first')).not.toBeInTheDocument()
  })
})
