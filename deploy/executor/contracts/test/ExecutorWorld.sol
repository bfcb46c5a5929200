// SPDX-License-Identifier: Apache-2.0
// A small world for the executor's tests: a token, a venue, a flash lender and an attacker.
// Nothing here is deployed anywhere but on a test's own node.
pragma solidity 0.8.30;

contract WorldToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external { balanceOf[to] += amount; }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

// Accounts with a margin, a price with an age, and a reward for whoever serves a breach.
contract WorldVenue {
    error WV_Healed(uint256 account);

    WorldToken public immutable token;
    int256 public price = 3000e18;
    uint256 public updatedAt = block.timestamp;
    mapping(uint256 => int256) public margin;
    mapping(uint256 => uint256) public served;
    address public reenter;
    bytes public payload;

    constructor(WorldToken token_) { token = token_; }

    function setPrice(int256 price_, uint256 at) external { (price, updatedAt) = (price_, at); }
    function setMargin(uint256 account, int256 margin_) external { margin[account] = margin_; }
    function setReentry(address to, bytes calldata data) external { (reenter, payload) = (to, data); }

    // (margin, mark to market, scenario), as margin views tend to return several words.
    function marginOf(uint256 account) external view returns (int256, int256, uint256) {
        return (margin[account], margin[account] * 2, 7);
    }

    function liquidate(uint256 account, uint256 reward) external payable {
        if (margin[account] >= 0) revert WV_Healed(account);
        if (reenter != address(0)) {
            (bool ok, bytes memory result) = reenter.call(payload);
            if (!ok) assembly { revert(add(result, 32), mload(result)) }
        }
        margin[account] = 0;
        ++served[account];
        token.mint(msg.sender, reward);
    }

    // Costs `cost` and gives back more: what flash money is borrowed for.
    function buy(uint256 cost, uint256 worth) external {
        token.transferFrom(msg.sender, address(this), cost);
        token.mint(msg.sender, worth);
    }

    function burn() external { while (true) {} }
    function silent() external pure { assembly { revert(0, 0) } }
    function bomb() external pure { assembly { revert(0, 300000) } }
}

interface IBorrower {
    function onFlashLoan(address initiator, uint256 amount, bytes calldata data) external returns (bytes32);
}

contract WorldLender {
    error WL_NotRepaid();

    WorldToken public immutable token;
    bytes32 public constant AGREED = keccak256("WorldLender.onFlashLoan");

    constructor(WorldToken token_) { token = token_; }

    function lend(uint256 amount) external {
        uint256 before = token.balanceOf(address(this));
        token.transfer(msg.sender, amount);
        bytes32 answer = IBorrower(msg.sender).onFlashLoan(msg.sender, amount, "whatever this lender likes");
        require(answer == AGREED, "refused");
        if (token.balanceOf(address(this)) < before) revert WL_NotRepaid();
    }
}

// A lane that is itself a contract: two batches in one transaction.
contract WorldLane {
    function both(address executor, bytes calldata first, bytes calldata second) external {
        _do(executor, first);
        _do(executor, second);
    }

    function _do(address to, bytes calldata data) private {
        (bool ok, bytes memory result) = to.call(data);
        if (!ok) assembly { revert(add(result, 32), mload(result)) }
    }
}
