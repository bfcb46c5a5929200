// SPDX-License-Identifier: Apache-2.0
// Hands a batch of feed data to its receivers in one transaction. Each receiver judges its own data.
pragma solidity 0.8.30;

import {IDataReceiver, ManagerData} from "../Interfaces.sol";

contract OracleDataSubmitter {
    function submitData(bytes calldata data) external {
        ManagerData[] memory batch = abi.decode(data, (ManagerData[]));
        for (uint256 i = 0; i < batch.length; ++i) {
            IDataReceiver(batch[i].receiver).acceptData(batch[i].data);
        }
    }
}
